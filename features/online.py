"""The online store: one Redis hash per entity, one round trip for any number of features."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from django.conf import settings
from redis import ResponseError

from common.clocks import latest_possible
from common.redis import REDIS_ERRORS, async_redis, redis_key
from features.errors import OnlineStoreUnavailable
from features.values import StoredValue, to_us

# Write each field unless it has a newer value, so that a late event or a slow worker overwrites nothing newer. One of
# the future, which a clock ahead has written, is not newer than one that is right. A field that a full Redis does not
# take is removed, so that the former value is not read: then PostgreSQL has it.
# ARGV: retention in seconds, latest possible time, then (number of the key, field, event_us, created_us, text) for each
# value.
_WRITE = """
local refused
local latest = tonumber(ARGV[2])
for i = 3, #ARGV, 5 do
  local key = KEYS[tonumber(ARGV[i])]
  local known = redis.call('HGET', key, ARGV[i + 1])
  local newer = true
  if known then
    local event_us, created_us = string.match(known, '^%[(%-?%d+),(%-?%d+),')
    event_us, created_us = tonumber(event_us), tonumber(created_us)
    local new_event, new_created = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    newer = (event_us > latest and new_event <= latest) or new_event > event_us
      or (new_event == event_us and new_created >= created_us)
  end
  if newer then
    local answer = redis.pcall('HSET', key, ARGV[i + 1], ARGV[i + 4])
    if type(answer) == 'table' and answer.err then
      refused = answer
      redis.call('HDEL', key, ARGV[i + 1])
    end
  end
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[1]) end
return refused
"""
_KEYS_PER_CALL = 50
"""Entities in one run of the script, which blocks Redis and so must stay well under a millisecond."""

# A context variable, because a context's function reads features through the store, and does not pass the view on.
_view: ContextVar[dict[str, dict[str, str]] | None] = ContextVar("online_view", default=None)


@contextmanager
def one_view() -> Iterator[None]:
    """Read an entity only once within the block, with all its features, and again after a write in the block."""
    token = _view.set({})
    try:
        yield
    finally:
        _view.reset(token)


class OnlineStore:
    """Values by entity, and plain keys for small data such as the fast copy of a trace.

    Every method raises OnlineStoreUnavailable when Redis does not answer.
    """

    async def read(self, entity: str, entity_key: str, features: Sequence[str]) -> dict[str, StoredValue]:
        """Return the stored values; a feature without one is absent. One HMGET, or the block's `one_view`."""
        key, view = entity_key_of(entity, entity_key), _view.get()
        try:
            if view is None:
                texts = await (await async_redis()).hmget(key, features)
            else:
                if key not in view:
                    view[key] = await (await async_redis()).hgetall(key)
                texts = [view[key].get(name) for name in features]
        except REDIS_ERRORS as error:
            raise OnlineStoreUnavailable from error
        return _by_name(features, texts)

    async def read_many(
        self, entity: str, entity_keys: Sequence[str], features: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """Return the stored values by entity key; one round trip for all."""
        try:
            client = await async_redis()
            async with client.pipeline(transaction=False) as pipe:
                for entity_key in entity_keys:
                    pipe.hmget(entity_key_of(entity, entity_key), features)
                rows = await pipe.execute()
        except REDIS_ERRORS as error:
            raise OnlineStoreUnavailable from error
        return {key: _by_name(features, texts) for key, texts in zip(entity_keys, rows, strict=True)}

    async def write(self, entity: str, values: Mapping[str, Mapping[str, StoredValue]]) -> None:
        """Store values by entity key and feature, none over a newer one; one round trip."""
        if not values:
            return
        retention, entity_keys = int(settings.FABRA_ONLINE_RETENTION.total_seconds()), list(values)
        latest = to_us(latest_possible())
        try:
            client = await async_redis()
            async with client.pipeline(transaction=False) as pipe:
                for start in range(0, len(entity_keys), _KEYS_PER_CALL):
                    part = entity_keys[start : start + _KEYS_PER_CALL]
                    args: list[Any] = [retention, latest]
                    for number, entity_key in enumerate(part, 1):
                        for name, stored in values[entity_key].items():
                            times = to_us(stored.event_timestamp), to_us(stored.created_at)
                            args += [number, name, *times, stored.to_text()]
                    pipe.eval(_WRITE, len(part), *[entity_key_of(entity, entity_key) for entity_key in part], *args)
                await pipe.execute()
        except REDIS_ERRORS as error:
            raise OnlineStoreUnavailable from error
        finally:
            for entity_key in values:
                (_view.get() or {}).pop(entity_key_of(entity, entity_key), None)

    async def forget(self, entity: str, features: Mapping[str, Sequence[str]]) -> None:
        """Delete the values of these features by entity key, which are read from PostgreSQL then; one round trip."""
        try:
            client = await async_redis()
            async with client.pipeline(transaction=False) as pipe:
                for entity_key, names in features.items():
                    pipe.hdel(entity_key_of(entity, entity_key), *names)
                await pipe.execute()
        except REDIS_ERRORS as error:
            raise OnlineStoreUnavailable from error
        finally:
            for entity_key in features:
                (_view.get() or {}).pop(entity_key_of(entity, entity_key), None)

    async def get(self, key: str) -> str | None:
        """Return the text under a plain key, or None."""
        try:
            return await (await async_redis()).get(plain_key(key))
        except REDIS_ERRORS as error:
            raise OnlineStoreUnavailable from error

    async def set(self, key: str, value: str | bytes, ttl: timedelta | None = None) -> None:
        """Store text under a plain key, for `ttl` or until it is replaced."""
        try:
            client = await async_redis()
            try:
                await client.set(plain_key(key), value, ex=ttl)
            except ResponseError:
                await client.delete(plain_key(key))  # a full Redis takes no text; the former one is not to be read
                raise
        except REDIS_ERRORS as error:
            raise OnlineStoreUnavailable from error


def plain_key(key: str) -> str:
    """Return the key in Redis of a plain key."""
    return redis_key("kv", key)


def _by_name(features: Sequence[str], texts: Sequence[str | None]) -> dict[str, StoredValue]:
    return {name: StoredValue.from_text(text) for name, text in zip(features, texts, strict=True) if text}


def entity_key_of(entity: str, entity_key: str) -> str:
    """Return the key of the hash with an entity's values."""
    return redis_key("values", entity, entity_key)
