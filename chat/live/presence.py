"""Who is there: each source that knows of somebody renews an entry in Redis, which expires.

A source is an inbox that an agent uses, or a process with pages that show a customer's conversation. Somebody is there
while one source has an entry of theirs.
"""

from collections.abc import Collection
from itertools import chain

from common.redis import async_redis, redis_key

RENEWED_EVERY_S = 15.0
EXPIRES_S = 45.0
"""A process that is killed cannot say that its pages are gone."""
LEFT_S = 5.0
"""Of somebody who has left: long enough to load the page again."""
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


async def renew(people: Collection[str], source: str, seconds: float) -> set[str]:
    """Note that a source has these people for some time; return those who were nowhere. Raise one of REDIS_ERRORS."""
    async with (await async_redis()).pipeline(transaction=False) as pipe:
        names = [redis_key("presence", who) for who in people]
        for start in range(0, len(names), _AT_ONCE):
            keys = names[start : start + _AT_ONCE]
            pipe.eval(_RENEW, len(keys), *keys, source, int(seconds * 1000))
        answers = await pipe.execute()
    return {who for who, is_new in zip(people, chain.from_iterable(answers), strict=True) if is_new}


async def leave(people: Collection[str], source: str) -> None:
    """Let what `renew` noted end soon; somebody who comes back meanwhile was never away. Raise one of REDIS_ERRORS."""
    await renew(people, source, LEFT_S)


async def are_here(people: Collection[str]) -> dict[str, bool]:
    """Return who is there, in one round trip; raise one of REDIS_ERRORS."""
    if not people:
        return {}
    async with (await async_redis()).pipeline(transaction=False) as pipe:
        for who in people:
            pipe.exists(redis_key("presence", who))
        return dict(zip(people, map(bool, await pipe.execute()), strict=True))
