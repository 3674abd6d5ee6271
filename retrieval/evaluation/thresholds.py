"""Choose a threshold for scores: what is at least as great is taken for answerable, what is below is refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """The shares of both kinds of questions whose score is below a threshold."""

    threshold: float
    answerable: float
    unanswerable: float


def auc(answerable: Sequence[float], unanswerable: Sequence[float]) -> float:
    """Return how often an answerable question has the greater score, ties as half: the area under the ROC curve.

    It is the Mann-Whitney U divided by the number of pairs (Hanley and McNeil, 1982); 0.5 is chance.
    """
    negative = np.sort(np.asarray(unanswerable, dtype=float))
    scores = np.asarray(answerable, dtype=float)
    below, not_above = (np.searchsorted(negative, scores, side=side) for side in ("left", "right"))
    return float((below + not_above).sum() / (2 * len(scores) * len(negative)))


def refusals(threshold: float, answerable: Sequence[float], unanswerable: Sequence[float]) -> Refusals:
    """Return the shares that a threshold refuses."""
    return Refusals(
        threshold=threshold, answerable=_share_below(threshold, answerable),
        unanswerable=_share_below(threshold, unanswerable),
    )  # fmt: skip


def choose_within(answerable: Sequence[float], unanswerable: Sequence[float], most_refused: float) -> Refusals | None:
    """Return the threshold that refuses most unanswerable questions and at most this share of the answerable ones.

    Of equal ones it is the lowest, so that no answerable question is refused for nothing. None if none refuses any.
    """
    allowed = [candidate for candidate in _candidates(answerable, unanswerable) if candidate.answerable <= most_refused]
    best = max(allowed, key=lambda point: (point.unanswerable, -point.answerable), default=None)
    return best if best is not None and best.unanswerable > 0 else None


def choose_by_youden(answerable: Sequence[float], unanswerable: Sequence[float]) -> Refusals | None:
    """Return the threshold with the greatest difference of the two shares (Youden, 1950), of equal ones the lowest.

    None if there is no difference.
    """
    best = max(
        _candidates(answerable, unanswerable),
        key=lambda point: (point.unanswerable - point.answerable, -point.answerable),
        default=None,
    )
    return best if best is not None and best.unanswerable > best.answerable else None


def _candidates(answerable: Sequence[float], unanswerable: Sequence[float]) -> list[Refusals]:
    """Return a threshold in the middle between any two neighbouring scores, where it is farthest from both."""
    scores = sorted({*answerable, *unanswerable})
    middles = [(low + high) / 2 for low, high in pairwise(scores)]
    return [refusals(middle, answerable, unanswerable) for middle in middles if middle > 0]


def _share_below(threshold: float, scores: Sequence[float]) -> float:
    return sum(score < threshold for score in scores) / len(scores)
