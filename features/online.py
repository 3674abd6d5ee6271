"""The online store: one Redis hash per entity, one round trip for any number of features."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings

from features.errors import OnlineStoreUnavailable
from features.redis_clients import REDIS_ERRORS, async_redis, redis_key
from features.values import StoredValue, to_ms

# Writes each field unless a newer value stands there, so that a late event or a slow worker takes nothing back.
# ARGV: retention in seconds, then (field, event_ms, created_ms, text) for each value.
_WRITE = """
for i = 2, #ARGV, 4 do
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  local newer = true
  if known then
    local event_ms, created_ms = string.match(known, '^%[(%-?%d+),(%-?%d+),')
    event_ms, created_ms = tonumber(event_ms), tonumber(created_ms)
    local new_event, new_created = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    newer = new_event > event_ms or (new_event == event_ms and new_created >= created_ms)
  end
  if newer then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 3]) end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


class OnlineStore:
    """Values by entity, and plain keys for small things such as the fast copy of a trace.

    Every method raises OnlineStoreUnavailable when Redis does not answer.
    """

    async def read(self, entity: str, entity_key: str, features: Sequence[str]) -> dict[str, StoredValue]:
        """Return the stored values; a feature without one is absent. One HMGET."""
        try:
            client = await async_redis()
            texts = await client.hmget(_entity_key(entity, entity_key), features)
        except REDIS_ERRORS as error:
            raise OnlineStoreUnavailable from error
        return {name: StoredValue.from_text(text) for name, text in zip(features, texts, strict=True) if text}

    async def write(self, entity: str, values: Mapping[str, Mapping[str, StoredValue]]) -> None:
        """Store values by entity key and feature, none over a newer one; one round trip."""
        if not values:
            return
        retention = int(settings.FABRA_ONLINE_RETENTION.total_seconds())
        try:
            client = await async_redis()
            async with client.pipeline(transaction=False) as pipe:
                for entity_key, by_feature in values.items():
                    args: list[Any] = [retention]
                    for name, stored in by_feature.items():
                        args += [name, to_ms(stored.event_timestamp), to_ms(stored.created_at), stored.to_text()]
                    pipe.eval(_WRITE, 1, _entity_key(entity, entity_key), *args)
                await pipe.execute()
        except REDIS_ERRORS as error:
            raise OnlineStoreUnavailable from error

    async def get(self, key: str) -> str | None:
        """Return the text under a plain key, or None."""
        try:
            return await (await async_redis()).get(redis_key("kv", key))
        except REDIS_ERRORS as error:
            raise OnlineStoreUnavailable from error

    async def set(self, key: str, value: str | bytes, ttl: timedelta | None = None) -> None:
        """Store text under a plain key, for `ttl` or until it is replaced."""
        try:
            await (await async_redis()).set(redis_key("kv", key), value, ex=ttl)
        except REDIS_ERRORS as error:
            raise OnlineStoreUnavailable from error


def _entity_key(entity: str, entity_key: str) -> str:
    return redis_key("features", entity, entity_key)
