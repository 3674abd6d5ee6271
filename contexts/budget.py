"""The token budget: a pure function over items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contexts.errors import BudgetExceeded
from contexts.items import SEPARATOR, ContextItem, Decision

Count = Callable[[str], int]

# How far the sum of the parts may be off the whole, for each part: tokens merge across a separator.
_SLACK = 4


@dataclass(frozen=True, kw_only=True)
class Budgeted:
    content: str
    tokens: int
    """Exactly those of `content`, separators included."""
    decisions: list[Decision]
    """One for each item, in the items' order."""
    is_over: bool
    """True only where overflow was allowed: the required items alone are over the budget."""


def apply_budget(
    items: Sequence[ContextItem], max_tokens: int, count: Count, *, allow_overflow: bool = False
) -> Budgeted:
    """Keep what fits: the highest priority number goes first, of equal ones the later.

    A required item is never dropped. Raise BudgetExceeded if the required ones alone do not fit, unless
    `allow_overflow`.
    """
    sizes = [count(item.content) for item in items]
    droppable = sorted(
        (place for place, item in enumerate(items) if not item.required),
        key=lambda place: (items[place].priority, place),
    )
    dropped: set[int] = set()
    # What is clearly too much is not encoded; the exact count decides from there on.
    estimate = sum(sizes) + len(items)
    skipped: list[int] = []
    while droppable and estimate - _SLACK * (len(items) - len(dropped)) > max_tokens:
        skipped.append(droppable.pop())
        dropped.add(skipped[-1])
        estimate -= sizes[skipped[-1]] + 1
    content, tokens = _join(items, dropped, count)
    while skipped and tokens <= max_tokens:  # the estimate went too far: take back what fits after all
        wider = dropped - {skipped[-1]}
        wider_content, wider_tokens = _join(items, wider, count)
        if wider_tokens > max_tokens:
            break
        dropped, content, tokens = wider, wider_content, wider_tokens
        skipped.pop()
    while tokens > max_tokens and droppable:
        dropped.add(droppable.pop())
        content, tokens = _join(items, dropped, count)
    if tokens > max_tokens and not allow_overflow:
        raise BudgetExceeded(f"The required items take {tokens} tokens, and the budget is {max_tokens}.")
    return Budgeted(
        content=content,
        tokens=tokens,
        decisions=[
            Decision(
                item=item, tokens=size, is_kept=place not in dropped, reason=_reason(item, place in dropped, max_tokens)
            )
            for place, (item, size) in enumerate(zip(items, sizes, strict=True))
        ],
        is_over=tokens > max_tokens,
    )


def _join(items: Sequence[ContextItem], dropped: set[int], count: Count) -> tuple[str, int]:
    content = SEPARATOR.join(item.content for place, item in enumerate(items) if place not in dropped)
    return content, count(content)


def _reason(item: ContextItem, is_dropped: bool, max_tokens: int) -> str:
    if is_dropped:
        return f"over the budget of {max_tokens} tokens; priority {item.priority} went first"
    return "required" if item.required else "fits the budget"
