"""Prepare the page of a calibration: its figures, the drawn scores, and the questions on the wrong side."""

from typing import Any

from common.admin.charts import Mark, Series, line_chart
from retrieval.evaluation.thresholds import refusals
from retrieval.models import CalibrationRun
from retrieval.search.query import MAX_LEXICAL_WEIGHT

MAX_THRESHOLD = 1 + MAX_LEXICAL_WEIGHT
"""The best score that there can be."""
_BINS, _STEPS = 20, 40
_SHOWN_ROWS = 100


def calibration_page(run: CalibrationRun) -> dict[str, Any]:
    """Return the template's context."""
    index = run.index
    threshold = run.threshold
    is_in_use = index.threshold is not None and index.threshold_run_id == run.pk
    return {
        "is_in_use": is_in_use,
        "in_use": index.threshold,
        "stale": index.stale_threshold(),
        "other_basis": run.basis != index.score_basis(),
        "figures": [("AUC", f"{run.auc:.4f}", 100 * run.auc)]
        + (
            [
                ("threshold", f"{threshold:.4f}", None),
                ("golden refused", f"{run.refused_answerable:.1%}", 100 * run.refused_answerable),
                ("unanswerable refused", f"{run.refused_unanswerable:.1%}", 100 * run.refused_unanswerable),
            ]
            if threshold is not None
            else []
        ),
        "scores": _scores_drawing(run),
        "curve": _curve_drawing(run),
        "basis": [(name.replace("_", " "), value) for name, value in {**run.config, **run.basis}.items()],
        "refused": _wrong(run, is_answerable=True),
        "let_pass": _wrong(run, is_answerable=False),
        "suggested": "" if threshold is None else f"{threshold:.4f}",
        "most": MAX_THRESHOLD,
        "most_refused": "" if run.most_refused is None else _percent(run.most_refused),
    }


def _scale(run: CalibrationRun, columns: int) -> tuple[float, float]:
    """Return the lowest score, and the width of one of as many columns."""
    scores = [score for kind in run.scores() for score in kind]
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    return low, (high - low or 1.0) / columns


def _marks(run: CalibrationRun, low: float, step: float, shift: float) -> list[Mark]:
    """Return the run's threshold, and the index's where that is another one."""
    own, used = run.threshold, run.index.threshold
    found = [] if own is None else [Mark(text=f"{own:.3f}", position=(own - low) / step + shift)]
    if used is not None and (own is None or abs(used - own) > 1e-4):
        found.append(Mark(text=f"in use: {used:.3f}", position=(used - low) / step + shift))
    return found


def _scores_drawing(run: CalibrationRun) -> str:
    """Draw how many of each kind's questions have which best score."""
    low, step = _scale(run, _BINS)
    shares = []
    for scores in run.scores():
        counts = [0] * _BINS
        for score in scores:
            counts[min(_BINS - 1, int((score - low) / step))] += 1
        shares.append([count / max(1, len(scores)) for count in counts])
    labels = [f"{low + number * step:.2f}" for number in range(_BINS)]
    return line_chart(labels, _series(shares), _percent, _marks(run, low, step, 0.0))


def _curve_drawing(run: CalibrationRun) -> str:
    """Draw the share of each kind that a threshold refuses."""
    low, step = _scale(run, _STEPS)
    scores = run.scores()
    if not all(scores):
        return ""
    steps = [low + number * step for number in range(_STEPS + 1)]
    points = [refusals(threshold, *scores) for threshold in steps]
    shares = [[point.answerable for point in points], [point.unanswerable for point in points]]
    labels = [f"{threshold:.2f}" for threshold in steps]
    return line_chart(labels, _series(shares), _percent, _marks(run, low, step, 0.5))


def _series(shares: list[list[float]]) -> list[Series]:
    return [
        Series(name="golden questions", tone="good", values=shares[0]),
        Series(name="unanswerable questions", tone="bad", values=shares[1]),
    ]


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _wrong(run: CalibrationRun, *, is_answerable: bool) -> list[dict[str, Any]]:
    """Return the questions that the threshold in use, or else the run's, takes for what they are not."""
    threshold = run.index.threshold if run.index.threshold is not None else run.threshold
    if threshold is None:
        return []
    rows = run.answerable if is_answerable else run.unanswerable
    wrong = [row for row in rows if (row["score"] < threshold) == is_answerable]
    return sorted(wrong, key=lambda row: row["score"] if is_answerable else -row["score"])[:_SHOWN_ROWS]
