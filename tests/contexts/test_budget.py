"""The token budget is exact, and keeps what matters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexts.budget import Budgeted, apply_budget
from contexts.errors import BudgetExceeded
from contexts.items import SEPARATOR, ContextItem
from contexts.tokens import tokenizer_for

count = tokenizer_for("gpt-4o").count

words = st.text(alphabet="abc .,\n#é漢🙂-", max_size=40)
item_lists = st.lists(
    st.builds(ContextItem, content=words, priority=st.integers(0, 4), required=st.booleans()), max_size=12
)


def naive(items: list[ContextItem], max_tokens: int) -> list[int] | None:
    """Drop what cannot fit beside the required items, then one at a time, counting the whole text each time."""

    def size(indexes: list[int]) -> int:
        return count(SEPARATOR.join(items[index].content for index in indexes))

    required = [index for index, item in enumerate(items) if item.required]
    kept = [index for index in range(len(items)) if size(sorted({*required, index})) <= max_tokens] or required
    while size(kept) > max_tokens:
        droppable = [index for index in kept if not items[index].required]
        if not droppable:
            return None
        kept.remove(max(droppable, key=lambda index: (items[index].priority, index)))
    return kept


def kept_places(budgeted: Budgeted) -> list[int]:
    return [index for index, decision in enumerate(budgeted.decisions) if decision.is_kept]


@given(items=item_lists, max_tokens=st.integers(1, 120))
def test_it_keeps_what_a_naive_reference_keeps(items: list[ContextItem], max_tokens: int) -> None:
    expected = naive(items, max_tokens)
    if expected is None:
        with pytest.raises(BudgetExceeded):
            apply_budget(items, max_tokens, count)
        return
    budgeted = apply_budget(items, max_tokens, count)
    assert kept_places(budgeted) == expected
    assert budgeted.content == SEPARATOR.join(items[index].content for index in expected)
    assert budgeted.tokens == count(budgeted.content) <= max_tokens


def test_the_highest_number_goes_first_and_the_later_of_equals() -> None:
    items = [
        ContextItem(text * 20, priority=priority) for text, priority in (("a ", 1), ("b ", 2), ("c ", 2), ("d ", 0))
    ]
    budgeted = apply_budget(items, 65, count)  # each is some 20 tokens
    assert kept_places(budgeted) == [0, 1, 3]
    assert "over the budget of 65 tokens" in budgeted.decisions[2].reason


def test_required_items_stay_and_raise_when_they_do_not_fit() -> None:
    items = [ContextItem("word " * 50, priority=9, required=True), ContextItem("x", priority=0)]
    with pytest.raises(BudgetExceeded, match="The required items take"):
        apply_budget(items, 10, count)
    allowed = apply_budget(items, 10, count, allow_overflow=True)
    assert allowed.is_over
    assert kept_places(allowed) == [0]


def test_an_item_that_can_never_fit_is_skipped_and_those_after_it_are_taken() -> None:
    items = [
        ContextItem("You are a helpful assistant.", priority=0, required=True),
        ContextItem("word " * 5000, priority=2),
        ContextItem("Children under six travel free.", priority=3),
        ContextItem("Dogs pay half.", priority=4),
    ]
    budgeted = apply_budget(items, 4000, count)
    assert kept_places(budgeted) == [0, 2, 3]
    reason = budgeted.decisions[1].reason
    assert reason == "can never fit: it has 5001 tokens; the budget is 4000, and the required items leave 3994 of them"
    assert budgeted.tokens == count(budgeted.content)


def test_what_would_fit_alone_still_goes_by_its_priority() -> None:
    items = [ContextItem("a " * 40, priority=1), ContextItem("b " * 40, priority=2), ContextItem("c", priority=3)]
    budgeted = apply_budget(items, 65, count)
    assert kept_places(budgeted) == [0]
    assert "priority 3 went first" in budgeted.decisions[2].reason


def test_required_items_that_overflow_leave_room_for_nothing() -> None:
    items = [ContextItem("word " * 50, required=True), ContextItem("x", priority=1), ContextItem("y " * 90, priority=2)]
    allowed = apply_budget(items, 10, count, allow_overflow=True)
    assert kept_places(allowed) == [0]
    assert all("over the budget" in decision.reason for decision in allowed.decisions[1:])


def test_hundreds_of_items_are_not_counted_whole_for_each_that_is_dropped() -> None:
    calls = 0

    def counting(text: str) -> int:
        nonlocal calls
        calls += len(text)
        return count(text)

    items = [ContextItem("some words about passwords. " * 20, priority=index) for index in range(400)]
    budgeted = apply_budget(items, 4000, counting)
    assert budgeted.tokens <= 4000
    assert len(kept_places(budgeted)) == len(naive(items, 4000) or [])
    assert calls < 30 * sum(len(item.content) for item in items)
