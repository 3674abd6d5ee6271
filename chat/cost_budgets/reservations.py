"""Budgets of what models cost, by day and by month: reserved before a call, and settled to what it cost.

A budget is kept to: the most that a call may cost is reserved in one atomic step, by all budgets that it falls under or
by none. Redis counts what is spent and what is reserved; PostgreSQL, which has the rows, knows what is spent whenever
Redis does not, or may have missed some: at a period's first call, after a failure, where a reservation was not settled,
and now and then. While Redis is down PostgreSQL counts, under a lock. A reservation whose process died ends by itself,
with the next one that is asked for after the longest time that an answer may take.
"""

import logging
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from asgiref.sync import sync_to_async
from django.conf import settings

from chat.cost_budgets import counters, in_postgres
from chat.cost_budgets.budget import Budget, nano_of
from chat.cost_budgets.configured import shared_budgets
from chat.cost_budgets.warnings import warn
from chat.errors import CostBudgetExhausted
from common.redis import REDIS_ERRORS

logger = logging.getLogger(__name__)

_LONGEST_ANSWERS = 2
"""A reservation lasts so many times as long as an answer may take."""
_ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class BudgetReservation:
    """What a call may cost at most, counted in all of its budgets."""

    budgets: Sequence[Budget]
    nano_usd: int
    entry: str = ""
    """What Redis knows it by."""
    token: str = ""
    """The token of the rows in PostgreSQL, where Redis did not answer."""


async def reserve(budgets: Sequence[Budget], usd: Decimal) -> BudgetReservation | None:
    """Reserve the most that a call may cost; None where no budget is set. Raise CostBudgetExhausted."""
    if not budgets:
        return None
    nano = nano_of(usd)
    entry = counters.entry_of(budgets, uuid.uuid4().hex, nano)
    lasts_s = math.ceil(_LONGEST_ANSWERS * settings.FABRA_CHAT_DEADLINE_S)
    try:
        await _forget_missed()
        for _ in range(_ATTEMPTS):
            reserved = await counters.reserve(budgets, entry, nano, lasts_s)
            if reserved.full:
                await _warn(reserved.to_warn)
                raise CostBudgetExhausted(reserved.full)
            if not reserved.uncounted:
                return BudgetReservation(budgets=budgets, nano_usd=nano, entry=entry)
            await _count(reserved.uncounted)
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: PostgreSQL counts the budgets.")
    token = await sync_to_async(in_postgres.reserve)(budgets, usd)
    _missed.update(counters.counter_key(budget) for budget in budgets)
    return BudgetReservation(budgets=budgets, nano_usd=nano, token=token)


async def settle(reservation: BudgetReservation | None, usd: Decimal) -> None:
    """Count what a call cost in place of what was reserved, after its row is stored; warn of budgets at 80 %.

    Where Redis fails, the reservation stays until it ends, and what the call cost is then summed up from its row.
    """
    if reservation is None:
        return
    budgets = reservation.budgets
    if reservation.token:
        await sync_to_async(in_postgres.settle)(reservation.token)
        _missed.update(counters.counter_key(budget) for budget in budgets)
        return
    try:
        to_warn = await counters.settle(budgets, reservation.entry, reservation.nano_usd, nano_of(usd))
        await _warn(to_warn)
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: what is reserved in budgets stays so for a while.")


async def recount() -> None:
    """Sum up the budgets that many share anew, users' apart, so that no chat has to; warn of those at 80 %."""
    try:
        await _forget_missed()
        await _count(await counters.settled_of(await sync_to_async(shared_budgets)()))
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: the budgets are not summed up anew.")


_missed: set[str] = set()
"""Counters of Redis that know nothing of what PostgreSQL has counted in their place, through this process."""


async def _forget_missed() -> None:
    while _missed:
        keys = list(_missed)
        await counters.forget(keys)
        _missed.difference_update(keys)


async def _count(budgets: Sequence[tuple[Budget, int]]) -> None:
    """Have counters begin with what PostgreSQL knows, given what was settled of each; raise one of REDIS_ERRORS."""
    sums = [(budget, nano_of(await sync_to_async(_known)(budget)), settled) for budget, settled in budgets]
    await _warn(await counters.count(sums))


def _known(budget: Budget) -> Decimal:
    """Return what is spent, and what calls may cost that were let in while Redis did not answer."""
    return budget.spent() + in_postgres.reserved(budget)


async def _warn(budgets: Sequence[Budget]) -> None:
    """Announce budgets of which 80 % are spent; where that fails the next call does it."""
    for budget in budgets:
        if await sync_to_async(warn)(budget):
            await counters.note_told(budget)
