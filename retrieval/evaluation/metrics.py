"""Compute measures of a ranking, from the document ids in the order in which they were found.

nDCG is Järvelin and Kekäläinen (2002) with the grade itself as gain and log2(rank + 1) as discount, recall and
reciprocal rank as TREC defines them: what trec_eval's `ndcg_cut`, `recall` and `recip_rank` compute, and BEIR reports.
A document is relevant if its grade is above 0.
"""

from collections.abc import Mapping, Sequence
from math import log2

import numpy as np

Grades = Mapping[str, int]
"""Document id to grade, for one query."""


def ndcg(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Return nDCG@k, 0 to 1; 0 if nothing is relevant."""
    best = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    ideal = _dcg(best[:k])
    return _dcg([max(0, grades.get(document_id, 0)) for document_id in ranking[:k]]) / ideal if ideal else 0.0


def recall(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Return the share of the relevant documents that are among the first `k`; 0 if nothing is relevant."""
    relevant = {document_id for document_id, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Return 1 divided by the rank of the first relevant document among the first `k`; 0 without one."""
    return next((1 / rank for rank, document_id in enumerate(ranking[:k], 1) if grades.get(document_id, 0) > 0), 0.0)


def hit_rate(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Return 1 if anything relevant is among the first `k`, else 0."""
    return float(any(grades.get(document_id, 0) > 0 for document_id in ranking[:k]))


def mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else 0.0


def confidence_interval(values: Sequence[float], *, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean: the percentile bootstrap over queries (Efron, 1979), seeded."""
    if not len(values):
        return 0.0, 0.0
    sample, random = np.asarray(values, dtype=float), np.random.default_rng(seed)
    means = [sample[random.integers(len(sample), size=len(sample))].mean() for _ in range(resamples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, 1))
