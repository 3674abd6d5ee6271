"""Budgets of what models cost, by day and by month: reserved before a call, and settled to what it cost.

A budget is kept to: the most that a call may cost is reserved in one atomic step, by all budgets that it falls under or
by none. Redis counts, in whole nano dollars; what it does not know, PostgreSQL sums up. While Redis is down PostgreSQL
counts, under a lock. A reservation whose process died ends by itself, with the next one that is asked for after the
longest time that an answer may take.
"""

import json
import logging
import math
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils import timezone

from chat.errors import BudgetExhausted
from chat.limits import budgets_in_postgres
from chat.limits.budget import DAY, MONTH, Budget
from chat.limits.budget_warnings import warn
from chat.models import ApiKey
from chat.spending.calls import Spender
from common.redis import REDIS_ERRORS, async_redis, redis_key

logger = logging.getLogger(__name__)

_NANO = 1_000_000_000
_MOST_USD = 1_000_000
"""In nano dollars this is still exact in the numbers of Redis's scripts, up to 9 million."""
_LONGEST_ANSWERS = 2
"""A reservation lasts so many times as long as an answer may take."""
_MISSING, _REFUSED, _RESERVED = 0, 1, 2

# KEYS: the open reservations, by when they end, then the budgets' counters. ARGV: the amount, the reservation, how many
# seconds it lasts, then each limit. A reservation is JSON: its token, its amount and its counters; what those that have
# ended had reserved is given back first. Returns what became of it, and the numbers of the budgets that are not counted
# yet, or that would be exceeded.
_RESERVE = """
local now = tonumber(redis.call('TIME')[1])
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)) do
  local reservation = cjson.decode(ended)
  for _, key in ipairs(reservation[3]) do
    if redis.call('EXISTS', key) == 1 then redis.call('DECRBY', key, reservation[2]) end
  end
  redis.call('ZREM', KEYS[1], ended)
end
local missing, full = {}, {}
for i = 2, #KEYS do
  local spent = redis.call('GET', KEYS[i])
  if not spent then missing[#missing + 1] = i - 1
  elseif tonumber(spent) + tonumber(ARGV[1]) > tonumber(ARGV[i + 2]) then full[#full + 1] = i - 1 end
end
if #missing > 0 then return {0, unpack(missing)} end
if #full > 0 then return {1, unpack(full)} end
for i = 2, #KEYS do redis.call('INCRBY', KEYS[i], ARGV[1]) end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[2])
return {2}
"""

# The same KEYS; ARGV: what the call cost, the reservation, by how much the cost differs from it, then from which amount
# on each budget is told of. Returns the numbers of those that have reached it for the first time.
_SETTLE = """
local change = redis.call('ZREM', KEYS[1], ARGV[2]) == 1 and ARGV[3] or ARGV[1]
local told = {}
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    local spent = redis.call('INCRBY', KEYS[i], change)
    if spent >= tonumber(ARGV[i + 2]) and redis.call('SET', KEYS[i] .. ':told', 1, 'NX', 'EX', 3000000) then
      told[#told + 1] = i - 1
    end
  end
end
return told
"""


@dataclass(frozen=True, kw_only=True)
class BudgetReservation:
    """What a call may cost at most, counted in all of its budgets."""

    budgets: Sequence[Budget]
    nano_usd: int
    entry: str = ""
    """What Redis knows it by."""
    token: str = ""
    """Of the rows in PostgreSQL, where Redis did not answer."""


@dataclass(frozen=True, kw_only=True)
class BudgetState:
    """A budget, and what was spent of it."""

    budget: Budget
    spent_usd: Decimal

    @property
    def share(self) -> float:
        return float(self.spent_usd / self.budget.limit_usd) if self.budget.limit_usd else 1.0


def budgets_of(spender: Spender) -> list[Budget]:
    """Return the budgets that a call falls under: of the installation, of the tier and its user, and of the API key."""
    found = list(_of("installation", "", settings.FABRA_BUDGETS.get("installation", {}), ""))
    if spender.user_id and spender.tier is not None:
        tiers = settings.FABRA_BUDGETS.get("tiers", {})
        limits = tiers.get(spender.tier, tiers.get("*", {}))
        found += _of("tier", spender.tier, limits, "")
        found += _of("user", spender.user_id, limits, "user_")
    if spender.key is not None:
        limits = {DAY: spender.key.daily_budget_usd, MONTH: spender.key.monthly_budget_usd}
        found += _of("key", str(spender.key.pk), limits, "")
    return found


async def reserve(budgets: Sequence[Budget], usd: Decimal) -> BudgetReservation | None:
    """Reserve the most that a call may cost; None where no budget is set. Raise BudgetExhausted."""
    if not budgets:
        return None
    nano = int(usd * _NANO)
    # The amount is a text, because Lua's JSON would round it.
    entry = json.dumps([uuid.uuid4().hex, str(nano), [_key(budget) for budget in budgets]])
    lasts_s = math.ceil(_LONGEST_ANSWERS * settings.FABRA_CHAT_DEADLINE_S)
    try:
        await _forget_stale()
        while True:
            result, *numbers = await _eval(
                _RESERVE, budgets, [nano, entry, lasts_s, *(int(budget.limit_usd * _NANO) for budget in budgets)]
            )
            if result == _RESERVED:
                return BudgetReservation(budgets=budgets, nano_usd=nano, entry=entry)
            chosen = [budgets[number - 1] for number in numbers]
            if result == _REFUSED:
                raise BudgetExhausted(chosen)
            await _count_from_postgres(chosen)
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: PostgreSQL counts the budgets.")
        token = await sync_to_async(budgets_in_postgres.reserve)(budgets, usd)
        return BudgetReservation(budgets=budgets, nano_usd=nano, token=token)


async def settle(reservation: BudgetReservation | None, usd: Decimal) -> None:
    """Count what a call cost in place of what was reserved, after its row is stored; tell of budgets at 80 %."""
    if reservation is None:
        return
    budgets = reservation.budgets
    if reservation.token:
        await sync_to_async(budgets_in_postgres.settle)(reservation.token)
        _stale.update(_key(budget) for budget in budgets)
        return
    try:
        cost = int(usd * _NANO)
        told_from = (int(budget.warning_usd * _NANO) for budget in budgets)
        change = cost - reservation.nano_usd
        told = await _eval(_SETTLE, budgets, [cost, reservation.entry, change, *told_from])
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: budgets are summed up anew once it is back.")
        _stale.update(_key(budget) for budget in budgets)
        return
    for number in told:
        await sync_to_async(warn)(budgets[number - 1])


def states() -> list[BudgetState]:
    """Return the budgets that are set, users' apart, with what was spent of each, as PostgreSQL knows it."""
    found = list(_of("installation", "", settings.FABRA_BUDGETS.get("installation", {}), ""))
    for tier, limits in settings.FABRA_BUDGETS.get("tiers", {}).items():
        found += [] if tier == "*" else _of("tier", tier, limits, "")
    for key in ApiKey.objects.usable():
        limits = {DAY: key.daily_budget_usd, MONTH: key.monthly_budget_usd}
        found += _of("key", str(key.pk), limits, "", name=key.name)
    return [BudgetState(budget=budget, spent_usd=budget.spent()) for budget in found]


def wrong_budgets(given: Any) -> str:
    """Return what of FABRA_BUDGETS means nothing; "" if all is well."""
    if not isinstance(given, dict) or not isinstance(given.get("tiers", {}), dict):
        return "another shape"
    tiers = given.get("tiers", {})
    parts: list[tuple[Any, tuple[str, ...]]] = [(given.get("installation", {}), (DAY, MONTH))]
    parts += [(limits, (DAY, MONTH, f"user_{DAY}", f"user_{MONTH}")) for limits in tiers.values()]
    unknown = [f"the unknown key {name!r}" for name in given if name not in ("installation", "tiers")]
    for limits, names in parts:
        if not isinstance(limits, dict):
            return "another shape"
        unknown += [f"the unknown key {name!r}" for name in limits if name not in names]
        for limit in limits.values():
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit <= _MOST_USD:
                unknown.append(f"the amount {limit!r}")
    return ", ".join(unknown)


_stale: set[str] = set()
"""Counters in Redis that missed what was spent while it did not answer; PostgreSQL is asked again."""


async def _forget_stale() -> None:
    if _stale:
        await (await async_redis()).delete(*_stale)
        _stale.clear()


async def _count_from_postgres(budgets: Sequence[Budget]) -> None:
    """Begin the counters with what PostgreSQL knows: at a period's first call, and after Redis has lost them."""
    pipeline = (await async_redis()).pipeline(transaction=False)
    for budget in budgets:
        spent = await sync_to_async(budget.spent)()
        pipeline.set(_key(budget), int(spent * _NANO), nx=True, exat=budget.resets_at + timedelta(days=1))
    await pipeline.execute()


async def _eval(script: str, budgets: Sequence[Budget], arguments: Sequence[int | str]) -> Any:
    client = await async_redis()
    keys = [redis_key("budget", "open"), *(_key(budget) for budget in budgets)]
    return await client.eval(script, len(keys), *keys, *arguments)


def _key(budget: Budget) -> str:
    return redis_key("budget", budget.period, f"{budget.starts}", budget.scope, budget.subject)


def _of(scope: str, subject: str, limits: dict[str, Any], prefix: str, name: str = "") -> Iterator[Budget]:
    today = timezone.now().astimezone(UTC).date()
    for period, starts in ((DAY, today), (MONTH, today.replace(day=1))):
        if (limit := limits.get(f"{prefix}{period}")) is not None:
            yield Budget(
                scope=scope, subject=subject, period=period, starts=starts, limit_usd=Decimal(str(limit)), name=name
            )
