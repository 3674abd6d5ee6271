"""A threshold for scores: how well scores tell two kinds apart, and which one is chosen."""

import random

import pytest

from retrieval.evaluation.thresholds import auc, choose_by_youden, choose_within, refusals


@pytest.mark.parametrize(
    ("answerable", "unanswerable", "area"),
    [
        ([0.8, 0.9], [0.1, 0.2], 1.0),
        ([0.1, 0.2], [0.8, 0.9], 0.0),
        ([0.5, 0.5], [0.5], 0.5),
        ([0.5, 0.9], [0.5, 0.1], 0.875),  # of four pairs three are in order and one is a tie
        ([-0.5], [-0.9, 0.0], 0.5),
    ],
)
def test_the_area_under_the_curve(answerable: list[float], unanswerable: list[float], area: float) -> None:
    assert auc(answerable, unanswerable) == area


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    chance = random.Random(5)
    first, second = ([round(chance.gauss(mean, 1), 1) for _ in range(80)] for mean in (1, 0))
    pairs = [(one > other) + 0.5 * (one == other) for one in first for other in second]
    assert auc(first, second) == pytest.approx(sum(pairs) / len(pairs))


def test_what_can_be_told_apart_is_told_apart_in_the_middle() -> None:
    for chosen in (choose_within([0.6, 0.9], [0.1, 0.4], 0.05), choose_by_youden([0.6, 0.9], [0.1, 0.4])):
        assert chosen is not None
        assert chosen.threshold == pytest.approx(0.5)
        assert (chosen.answerable, chosen.unanswerable) == (0.0, 1.0)


def test_no_more_than_the_share_is_refused() -> None:
    answerable = [0.1, *[0.3] * 19, *[0.7] * 20]
    unanswerable = [0.05, 0.2, 0.5, 0.6]
    within = {share: choose_within(answerable, unanswerable, share) for share in (0.0, 0.025, 0.49, 0.5)}
    assert {share: chosen and chosen.answerable for share, chosen in within.items()} == {
        0.0: 0.0, 0.025: 0.025, 0.49: 0.025, 0.5: 0.5,
    }  # fmt: skip
    assert {share: chosen and chosen.unanswerable for share, chosen in within.items()} == {
        0.0: 0.25, 0.025: 0.5, 0.49: 0.5, 0.5: 1.0,
    }  # fmt: skip


def test_no_answerable_question_is_refused_for_nothing() -> None:
    # 10 % may be refused, but a threshold above 0.5 refuses no more of the unanswerable ones.
    answerable = [0.5, *[0.9] * 19]
    chosen = choose_within(answerable, [0.1, 0.2, 0.95], 0.1)
    assert chosen is not None and chosen.answerable == 0.0
    assert chosen.threshold == pytest.approx(0.35)


@pytest.mark.parametrize(
    ("answerable", "unanswerable"),
    [([0.5], [0.5]), ([0.1, 0.2], [0.8]), ([-0.5], [-0.9])],
)
def test_without_a_use_there_is_no_threshold(answerable: list[float], unanswerable: list[float]) -> None:
    assert choose_within(answerable, unanswerable, 0.05) is None
    assert choose_by_youden(answerable, unanswerable) is None


def test_a_score_at_the_threshold_is_not_refused() -> None:
    found = refusals(0.5, [0.5, 0.4], [0.5])
    assert (found.answerable, found.unanswerable) == (0.5, 0.0)
