"""Measures of a ranking equal what was computed by hand."""

from math import log2

import pytest

from retrieval.evaluation import metrics


def test_ndcg_weighs_grades_by_rank() -> None:
    # Found: grade 1 at rank 1, nothing, grade 3 at rank 3. Best would be 3, 2, 1.
    found = 1 / log2(2) + 0 / log2(3) + 3 / log2(4)  # 1 + 0 + 1.5
    best = 3 / log2(2) + 2 / log2(3) + 1 / log2(4)  # 3 + 1.2619 + 0.5
    grades = {"a": 1, "b": 3, "c": 2, "no": 0}
    assert metrics.ndcg(["a", "no", "b"], grades, 10) == pytest.approx(found / best)
    assert metrics.ndcg(["b", "c", "a"], grades, 10) == 1
    assert metrics.ndcg(["x", "y"], grades, 10) == 0


def test_ndcg_is_cut_at_k_on_both_sides() -> None:
    grades = {"a": 1, "b": 1, "c": 1}
    assert metrics.ndcg(["a", "x"], grades, 1) == 1
    assert metrics.ndcg(["x", "a"], grades, 1) == 0
    # Two of three are as good as it gets at k = 2.
    assert metrics.ndcg(["x", "a", "b"], grades, 2) == pytest.approx((1 / log2(3)) / (1 + 1 / log2(3)))


def test_a_single_relevant_document_counts_by_its_rank() -> None:
    assert metrics.ndcg(["x", "y", "a"], {"a": 1}, 10) == pytest.approx(1 / log2(4))
    assert metrics.reciprocal_rank(["x", "y", "a"], {"a": 1}, 10) == pytest.approx(1 / 3)
    assert metrics.reciprocal_rank(["x", "y", "a"], {"a": 1}, 2) == 0


def test_recall_and_hit_rate_know_only_relevant_and_not() -> None:
    grades = {"a": 1, "b": 2, "c": 1, "no": 0}
    assert metrics.recall(["a", "no", "b", "c"], grades, 3) == pytest.approx(2 / 3)
    assert metrics.hit_rate(["no", "b"], grades, 1) == 0
    assert metrics.hit_rate(["no", "b"], grades, 2) == 1
    assert metrics.recall(["no"], {"no": 0}, 3) == metrics.ndcg(["no"], {"no": 0}, 3) == 0


def test_the_interval_holds_the_mean_and_is_the_same_each_time() -> None:
    values = [0.0, 1.0] * 50
    low, high = metrics.confidence_interval(values)
    # The standard error is 0.5 / sqrt(100) = 0.05, so the interval is about 0.5 -+ 0.098.
    assert low == pytest.approx(0.402, abs=0.02)
    assert high == pytest.approx(0.598, abs=0.02)
    assert metrics.confidence_interval(values) == (low, high)
    assert metrics.confidence_interval([0.7]) == (0.7, 0.7)
    assert metrics.confidence_interval([]) == (0, 0)
