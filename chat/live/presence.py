"""Who is there: each source that knows of somebody renews an entry in Redis, which expires.

A source is an inbox that an agent uses, or a process with pages that show a customer's conversation. Somebody is there
while one source has an entry of theirs.
"""

from collections.abc import Collection
from itertools import chain

from django.conf import settings

from common.redis import async_redis, redis_key

_RENEWALS = 3
"""In the time after which an entry expires."""
_AT_ONCE = 100
"""In one run of the script, which blocks Redis and so must stay well under a millisecond."""

# KEYS are people; ARGV are a source, and for how many ms they are there. By Redis's own clock. A key ends with its
# last entry, so that it need only exist. Returns for each of them 1 if they were nowhere before.
_RENEW = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local new = {}
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now_ms)
  new[i] = redis.call('ZCARD', key) == 0 and 1 or 0
  redis.call('ZADD', key, now_ms + tonumber(ARGV[2]), ARGV[1])
  redis.call('PEXPIREAT', key, redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
end
return new
"""


def agent(pk: object) -> str:
    return f"agent:{pk}"


def customer_of(conversation_id: int) -> str:
    return f"customer:{conversation_id}"


def renewed_every_s() -> float:
    """Return the seconds after which a source renews an entry."""
    return float(settings.FABRA_PRESENCE_S / _RENEWALS)


async def renew(people: Collection[str], source: str, seconds: float | None = None) -> set[str]:
    """Note that a source has these people for some seconds, by default FABRA_PRESENCE_S.

    Return those who were nowhere. Raise one of REDIS_ERRORS.
    """
    length_ms = int((settings.FABRA_PRESENCE_S if seconds is None else seconds) * 1000)
    async with (await async_redis()).pipeline(transaction=False) as pipe:
        names = [redis_key("presence", who) for who in people]
        for start in range(0, len(names), _AT_ONCE):
            keys = names[start : start + _AT_ONCE]
            pipe.eval(_RENEW, len(keys), *keys, source, length_ms)
        answers = await pipe.execute()
    return {who for who, is_new in zip(people, chain.from_iterable(answers), strict=True) if is_new}


async def leave(people: Collection[str], source: str) -> None:
    """Let what `renew` noted end soon; somebody who comes back meanwhile was never away. Raise one of REDIS_ERRORS."""
    await renew(people, source, settings.FABRA_PRESENCE_LEFT_S)


async def are_here(people: Collection[str]) -> dict[str, bool]:
    """Return who is there, in one round trip; raise one of REDIS_ERRORS."""
    if not people:
        return {}
    async with (await async_redis()).pipeline(transaction=False) as pipe:
        for who in people:
            pipe.exists(redis_key("presence", who))
        return dict(zip(people, map(bool, await pipe.execute()), strict=True))
