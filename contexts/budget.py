"""The token budget: a pure function over items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contexts.errors import BudgetExceeded
from contexts.items import SEPARATOR, ContextItem, Decision

Count = Callable[[str], int]

# The most tokens per item by which the sum of the items may differ from the whole: tokens merge across a separator.
_SLACK = 4

NEVER_FITS = "can never fit"
"""With this begins the reason of an item that is too large even without the others; a reason is kept in each trace."""


@dataclass(frozen=True, kw_only=True)
class Budgeted:
    content: str
    tokens: int
    """The exact number in `content`, separators included."""
    decisions: list[Decision]
    """One per item, in the items' order."""
    is_over: bool
    """True only if overflow was allowed and the required items alone are over the budget."""


def apply_budget(
    items: Sequence[ContextItem], max_tokens: int, count: Count, *, allow_overflow: bool = False
) -> Budgeted:
    """Drop items until the rest fits: the highest priority number first, and of equal ones the later item.

    A required item is never dropped. An item that cannot fit, even if it were the only one beside the required items,
    is dropped before all others and costs them nothing. Raise BudgetExceeded if the required items alone do not fit,
    unless `allow_overflow`.
    """
    sizes = [count(item.content) for item in items]
    too_large = _too_large(items, sizes, max_tokens, count)
    droppable = sorted(
        (index for index, item in enumerate(items) if not item.required and index not in too_large),
        key=lambda index: (items[index].priority, index),
    )
    dropped = set(too_large)
    # Items that are clearly too much are dropped by an estimate, without encoding; then the exact count decides.
    estimate = sum(sizes[index] + 1 for index in range(len(items)) if index not in dropped)
    skipped: list[int] = []
    while droppable and estimate - _SLACK * (len(items) - len(dropped)) > max_tokens:
        skipped.append(droppable.pop())
        dropped.add(skipped[-1])
        estimate -= sizes[skipped[-1]] + 1
    content, tokens = _join(items, dropped, count)
    while skipped and tokens <= max_tokens:  # the estimate dropped too much: restore what fits
        fewer_dropped = dropped - {skipped[-1]}
        longer_content, more_tokens = _join(items, fewer_dropped, count)
        if more_tokens > max_tokens:
            break
        dropped, content, tokens = fewer_dropped, longer_content, more_tokens
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
                item=item,
                tokens=size,
                is_kept=index not in dropped,
                reason=too_large.get(index) or _reason(item, index in dropped, max_tokens),
            )
            for index, (item, size) in enumerate(zip(items, sizes, strict=True))
        ],
        is_over=tokens > max_tokens,
    )


def _too_large(items: Sequence[ContextItem], sizes: Sequence[int], max_tokens: int, count: Count) -> dict[int, str]:
    """Return the reason for each item that does not fit beside the required items; none if these do not fit either."""
    required = {index for index, item in enumerate(items) if item.required}
    optional = set(range(len(items))) - required
    needed = _join(items, optional, count)[1]
    found: dict[int, str] = {}
    for index in optional if needed <= max_tokens else ():
        excess = needed + sizes[index] + 1 - max_tokens
        if abs(excess) <= _SLACK * (len(required) + 1):  # too close for the sum: only the whole text decides
            excess = _join(items, optional - {index}, count)[1] - max_tokens
        if excess > 0:
            beside = f", and the required items leave {max_tokens - needed} of them" if needed else ""
            found[index] = f"{NEVER_FITS}: it has {sizes[index]} tokens; the budget is {max_tokens}{beside}"
    return found


def _join(items: Sequence[ContextItem], dropped: set[int], count: Count) -> tuple[str, int]:
    content = SEPARATOR.join(item.content for index, item in enumerate(items) if index not in dropped)
    return content, count(content)


def _reason(item: ContextItem, is_dropped: bool, max_tokens: int) -> str:
    if is_dropped:
        return f"over the budget of {max_tokens} tokens; priority {item.priority} went first"
    return "required" if item.required else "fits the budget"
