"""Measures of a ranking, each over the document ids in the order they were found.

nDCG is Järvelin and Kekäläinen (2002) with the grade itself as gain and log2(rank + 1) as discount, recall and
reciprocal rank as TREC defines them: what trec_eval's `ndcg_cut`, `recall` and `recip_rank` compute, and BEIR reports.
A document is relevant if its grade is above 0.
"""

from collections.abc import Mapping, Sequence
from math import log2

import numpy as np

Grades = Mapping[str, int]
"""Document id to grade, for one question."""


def ndcg(ranking: Sequence[str], grades: Grades, k: int) -> float:
    best = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    ideal = _dcg(best[:k])
    return _dcg([max(0, grades.get(each, 0)) for each in ranking[:k]]) / ideal if ideal else 0.0


def recall(ranking: Sequence[str], grades: Grades, k: int) -> float:
    relevant = {each for each, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], grades: Grades, k: int) -> float:
    return next((1 / rank for rank, each in enumerate(ranking[:k], 1) if grades.get(each, 0) > 0), 0.0)


def hit_rate(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Return 1 if anything relevant is among the first `k`, else 0."""
    return float(any(grades.get(each, 0) > 0 for each in ranking[:k]))


def mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else 0.0


def confidence_interval(values: Sequence[float], *, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean: the percentile bootstrap over questions (Efron, 1979), seeded."""
    if not len(values):
        return 0.0, 0.0
    sample, chance = np.asarray(values, dtype=float), np.random.default_rng(seed)
    means = [sample[chance.integers(len(sample), size=len(sample))].mean() for _ in range(resamples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, 1))
