"""The counters of budgets in Redis, in whole nano dollars.

A budget's counter is a hash that is deleted a day after the budget's period:

- `spent`: what calls have cost whose row is stored. Deleted whenever it may be wrong; PostgreSQL is then asked again.
- `counted_at`: when that was last done. What Redis has missed without anybody's knowledge is found by the next time.
- `reserved`: the sum of the open reservations, which are one sorted set for all budgets, by when they end.
- `settled`: all that was ever settled here, so that a sum of PostgreSQL gets what was settled while it was made. Of a
  call whose row it saw and that is settled a moment later it has the cost twice, until it is made again: a counter may
  be too high for a while, and never too low.
- `told:LIMIT`: that the warning at 80 % of this limit was given.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from chat.cost_budgets.budget import Budget
from common.redis import async_redis, redis_key

COUNTED_FOR_S = 600
"""A sum of PostgreSQL is used so long at most; beat makes that of the budgets that many share every minute."""
_KEPT_AFTER_PERIOD = timedelta(days=1)
_UNCOUNTED, _REFUSED, _RESERVED = 0, 1, 2

# The amount of a reservation is a text, because Lua's JSON would round it.
_FUNCTIONS = """
local function amount_of(reservation) return tonumber(reservation[2]) end
local function whole(number) return string.format('%.0f', number) end
local function lower(key, amount)
  if redis.call('EXISTS', key) == 1 then redis.call('HINCRBY', key, 'reserved', whole(0 - amount)) end
end
local function is_to_warn(key, limit)
  local spent = tonumber(redis.call('HGET', key, 'spent') or 0)
  local has_reached = tonumber(limit) > 0 and spent * 5 >= tonumber(limit) * 4
  return has_reached and redis.call('HEXISTS', key, 'told:' .. limit) == 0
end
"""

# KEYS: the open reservations, then the counters. ARGV: the amount, the reservation, how many seconds it lasts, how many
# a sum is used, then for each counter its limit and when it is deleted. A reservation is JSON: its token, its amount,
# its counters. One that has ended may have been a call whose cost was never settled. Returns what became of it; the
# numbers of the counters that decided so; and how much was settled of those that are to be counted, or which of those
# that are full are to be warned of.
_RESERVE = f"""{_FUNCTIONS}
local now, amount = tonumber(redis.call('TIME')[1]), tonumber(ARGV[1])
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)) do
  local reservation = cjson.decode(ended)
  for _, key in ipairs(reservation[3]) do
    lower(key, amount_of(reservation))
    redis.call('HDEL', key, 'spent')
  end
  redis.call('ZREM', KEYS[1], ended)
end
local uncounted, settled, full, to_warn = {{}}, {{}}, {{}}, {{}}
for i = 2, #KEYS do
  local limit = ARGV[2 * i + 1]
  local spent, reserved, counted_at = unpack(redis.call('HMGET', KEYS[i], 'spent', 'reserved', 'counted_at'))
  local is_old = counted_at and now - tonumber(counted_at) >= tonumber(ARGV[4])
  if not spent or is_old then
    uncounted[#uncounted + 1] = i - 1
    settled[#settled + 1] = redis.call('HINCRBY', KEYS[i], 'settled', 0)
    if is_old then redis.call('HSET', KEYS[i], 'counted_at', now) end -- by this caller, while others go on
    redis.call('EXPIREAT', KEYS[i], ARGV[2 * i + 2])
  elseif tonumber(spent) + tonumber(reserved or 0) + amount > tonumber(limit) then
    full[#full + 1] = i - 1
    if is_to_warn(KEYS[i], limit) then to_warn[#to_warn + 1] = i - 1 end
  end
end
if #uncounted > 0 then return {{0, uncounted, settled}} end
if #full > 0 then return {{1, full, to_warn}} end
for i = 2, #KEYS do redis.call('HINCRBY', KEYS[i], 'reserved', ARGV[1]) end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[2])
return {{2, {{}}, {{}}}}
"""

# The same KEYS; ARGV: what the call cost, the reservation, its amount, then each limit. Returns the numbers of the
# counters that are to be warned of.
_SETTLE = f"""{_FUNCTIONS}
local was_open = redis.call('ZREM', KEYS[1], ARGV[2]) == 1
local to_warn = {{}}
for i = 2, #KEYS do
  if was_open then lower(KEYS[i], tonumber(ARGV[3])) end
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('HINCRBY', KEYS[i], 'settled', ARGV[1])
    if redis.call('HEXISTS', KEYS[i], 'spent') == 1 then redis.call('HINCRBY', KEYS[i], 'spent', ARGV[1]) end
    if is_to_warn(KEYS[i], ARGV[i + 2]) then to_warn[#to_warn + 1] = i - 1 end
  end
end
return to_warn
"""

# The same KEYS; ARGV: for each counter the sum of PostgreSQL, how much was settled before it was made, and the limit.
# Returns the numbers of the counters that are to be warned of.
_COUNT = f"""{_FUNCTIONS}
local now, reserved, to_warn = redis.call('TIME')[1], {{}}, {{}}
for _, open in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local reservation = cjson.decode(open)
  for _, key in ipairs(reservation[3]) do reserved[key] = (reserved[key] or 0) + amount_of(reservation) end
end
for i = 2, #KEYS do
  local settled = redis.call('HGET', KEYS[i], 'settled')
  if settled then
    local meanwhile = math.max(0, tonumber(settled) - tonumber(ARGV[3 * i - 4]))
    local spent = tonumber(ARGV[3 * i - 5]) + meanwhile
    redis.call('HSET', KEYS[i], 'spent', whole(spent), 'reserved', whole(reserved[KEYS[i]] or 0), 'counted_at', now)
    if is_to_warn(KEYS[i], ARGV[3 * i - 3]) then to_warn[#to_warn + 1] = i - 1 end
  end
end
return to_warn
"""


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """What became of a reservation: it is made where neither of the lists has a budget."""

    uncounted: Sequence[tuple[Budget, int]] = ()
    """The budgets that `count` has to sum up first, and what was settled of each by now."""
    full: Sequence[Budget] = ()
    """The budgets that it would exceed."""
    to_warn: Sequence[Budget] = ()
    """Those of them of which nobody was told yet."""


def entry_of(budgets: Sequence[Budget], token: str, nano: int) -> str:
    """Return what Redis knows a reservation by."""
    return json.dumps([token, str(nano), [counter_key(budget) for budget in budgets]])


async def reserve(budgets: Sequence[Budget], entry: str, nano: int, lasts_s: int) -> Reserved:
    """Reserve an amount in all budgets, or in none; raise one of REDIS_ERRORS, and then it may be reserved."""
    limits = [
        number
        for budget in budgets
        for number in (budget.limit_nano, int((budget.resets_at + _KEPT_AFTER_PERIOD).timestamp()))
    ]
    result, numbers, more = await _eval(_RESERVE, budgets, [nano, entry, lasts_s, COUNTED_FOR_S, *limits])
    chosen = _chosen(budgets, numbers)
    if result == _UNCOUNTED:
        return Reserved(uncounted=list(zip(chosen, more, strict=True)))
    return Reserved(full=chosen, to_warn=_chosen(budgets, more)) if result == _REFUSED else Reserved()


async def settle(budgets: Sequence[Budget], entry: str, nano: int, cost: int) -> list[Budget]:
    """Count a cost in place of what was reserved; return the budgets to warn of. Raise one of REDIS_ERRORS."""
    limits = [budget.limit_nano for budget in budgets]
    return _chosen(budgets, await _eval(_SETTLE, budgets, [cost, entry, nano, *limits]))


async def settled_of(budgets: Sequence[Budget]) -> list[tuple[Budget, int]]:
    """Return what was settled of those budgets that are counted; `count` needs it from before the sums were made."""
    pipeline = (await async_redis()).pipeline(transaction=False)
    for budget in budgets:
        pipeline.hget(counter_key(budget), "settled")
    found = zip(budgets, await pipeline.execute(), strict=True)
    return [(budget, int(settled)) for budget, settled in found if settled is not None]


async def count(sums: Sequence[tuple[Budget, int, int]]) -> list[Budget]:
    """Take over PostgreSQL's sums, each with what was settled before it was made; return the budgets to warn of."""
    numbers = [number for budget, nano, settled in sums for number in (nano, settled, budget.limit_nano)]
    budgets = [budget for budget, _, _ in sums]
    return _chosen(budgets, await _eval(_COUNT, budgets, numbers)) if budgets else []


async def forget(keys: Sequence[str]) -> None:
    """Have the counters of these keys summed up anew by whoever needs them next."""
    pipeline = (await async_redis()).pipeline(transaction=False)
    for key in keys:
        pipeline.hdel(key, "spent")
    await pipeline.execute()


async def note_told(budget: Budget) -> None:
    """Note that the warning at 80 % of the budget's limit was given."""
    pipeline = (await async_redis()).pipeline(transaction=False)
    pipeline.hset(counter_key(budget), f"told:{budget.limit_nano}", 1)
    pipeline.expireat(counter_key(budget), budget.resets_at + _KEPT_AFTER_PERIOD)
    await pipeline.execute()


def counter_key(budget: Budget) -> str:
    return redis_key("budgets", budget.period, f"{budget.starts}", budget.scope, budget.subject)


def open_key() -> str:
    """Return the key of the open reservations."""
    return redis_key("budgets", "open")


async def _eval(script: str, budgets: Sequence[Budget], arguments: Sequence[int | str]) -> Any:
    client = await async_redis()
    keys = [open_key(), *(counter_key(budget) for budget in budgets)]
    return await client.eval(script, len(keys), *keys, *arguments)


def _chosen(budgets: Sequence[Budget], numbers: Sequence[int]) -> list[Budget]:
    return [budgets[number - 1] for number in numbers]
