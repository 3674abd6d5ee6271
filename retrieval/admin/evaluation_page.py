"""Prepare the page of an evaluation run: its figures compared with another run's, and each question."""

from typing import Any

from common.admin.html import admin_url, duration
from common.locks import is_held
from retrieval.evaluation.runs import MEASURES, QuestionChange, compare, lock_name
from retrieval.models import Chunk, EvaluationOutcome, EvaluationRun, GoldenQuestion

_SHOWN_ROWS = 300
_OFFERED_RUNS = 50


def run_state(run: EvaluationRun) -> str:
    """Return the state to show: "interrupted" for a running run whose worker has died."""
    if run.state == EvaluationRun.State.RUNNING and not is_held(lock_name(run.pk)):
        return "interrupted"
    return run.state


def run_page(run: EvaluationRun, compared_with: str) -> dict[str, Any]:
    others = EvaluationRun.objects.filter(index=run.index_id, state=EvaluationRun.State.DONE).exclude(pk=run.pk)
    offered = list(others.order_by("-pk")[:_OFFERED_RUNS])
    before = _chosen(run, offered, compared_with)
    changes = compare(before, run) if before else [_alone(outcome) for outcome in run.outcomes.all()]
    # Questions that got worse first, then those without a right hit.
    changes.sort(key=lambda change: (min(0.0, change.gain), change.after is not None and change.after.rank is not None))
    state = run_state(run)
    shown = [change for change in changes if change.after is not None][:_SHOWN_ROWS]
    chunks = {hit["chunk_id"] for change in shown if change.after for hit in change.after.found}
    existing = set(Chunk.objects.filter(pk__in=chunks).values_list("pk", flat=True)) if chunks else set()
    return {
        "state": state,
        "is_unfinished": run.state in (EvaluationRun.State.QUEUED, EvaluationRun.State.RUNNING),
        "may_go_on": state in ("queued", "interrupted"),
        "percent": f"{100 * run.done / max(run.total, 1):.1f}",
        "took": duration(run.finished_at - run.started_at) if run.finished_at and run.started_at else "",
        "before": before,
        "offered": offered,
        "figures": [_figure(name, run, before) for name in MEASURES if name in run.metrics],
        "config": _config(run, before),
        "questions": [_question(change, existing) for change in shown],
        "hidden": sum(change.after is not None for change in changes) - len(shown),
        "worse": sum(change.gain < 0 for change in changes),
        "better": sum(change.gain > 0 for change in changes),
        "missed": sum(change.after is not None and change.after.rank is None for change in changes),
    }


def _chosen(run: EvaluationRun, offered: list[EvaluationRun], wanted: str) -> EvaluationRun | None:
    """Return the run chosen for comparison, else the previous run of the same mode and tag."""
    if wanted == "none":
        return None
    chosen = next((other for other in offered if str(other.pk) == wanted), None)
    comparable = (other for other in offered if other.pk < run.pk and (other.mode, other.tag) == (run.mode, run.tag))
    return chosen or next(comparable, None)


def _alone(outcome: EvaluationOutcome) -> QuestionChange:
    return QuestionChange(question=outcome.question, before=None, after=outcome)


def _figure(name: str, run: EvaluationRun, before: EvaluationRun | None) -> dict[str, Any]:
    value = run.metrics[name]
    old = before.metrics.get(name) if before else None
    gain = 0.0 if old is None else value - old
    return {
        "name": name,
        "value": f"{value:.4f}",
        "percent": f"{100 * value:.1f}",
        "gain": f"{gain:+.4f}" if abs(gain) >= 0.00005 else "±0" if old is not None else "",
        "tone": "good" if gain > 0 else "bad" if gain < 0 else "plain",
    }


def _config(run: EvaluationRun, before: EvaluationRun | None) -> list[tuple[str, Any, Any]]:
    """Return (name, value, the other run's where it differs)."""
    old = before.config | {"mode": before.mode} if before else {}
    new = run.config | {"mode": run.mode}
    return [
        (name.replace("_", " "), value, old[name] if name in old and old[name] != value else None)
        for name, value in new.items()
    ]


def _question(change: QuestionChange, existing: set[int]) -> dict[str, Any]:
    after = change.after
    assert after is not None
    return {
        "text": after.question,
        "url": admin_url(GoldenQuestion, after.golden_question_id) if after.golden_question_id else "",
        "expected": after.expected,
        "error": after.error,
        "rank": after.rank,
        "tone": "bad" if after.rank is None else "good" if after.rank <= 5 else "warn",
        "had_before": change.before is not None,
        "rank_before": change.before.rank if change.before else None,
        "gain": f"{change.gain:+.2f}" if change.gain else "",
        "gain_tone": "good" if change.gain > 0 else "bad",
        "ndcg": f"{after.metrics['ndcg@10']:.2f}",
        "found": [
            {**hit, "rank": rank, "url": admin_url(Chunk, hit["chunk_id"]) if hit["chunk_id"] in existing else ""}
            for rank, hit in enumerate(after.found, 1)
        ],
    }
