"""Compute and store what is missing, once however many ask, in however many processes."""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from common.background import spawn
from common.redis import REDIS_ERRORS, async_redis, redis_key
from features.compute import compute_values, in_parts
from features.dry_run import is_dry
from features.errors import FeatureComputeError, OnlineStoreUnavailable
from features.models import FeatureValue
from features.online import OnlineStore
from features.registry import BATCH_SIZE, FeatureSpec
from features.value_writer import write_values
from features.values import StoredValue

logger = logging.getLogger(__name__)
online_store = OnlineStore()

Result = StoredValue | FeatureComputeError

LOCK_S = 30
"""How long a computation may keep others waiting; past it the next one computes for itself."""
_POLL_S = 0.02

_flights: dict[tuple[int, str, str], asyncio.Task[dict[str, Result]]] = {}

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


async def compute_once(spec: FeatureSpec, entity_key: str) -> StoredValue:
    """Compute and store one entity's value; raise FeatureComputeError if its function fails."""
    result = (await compute_each_once(spec, [entity_key]))[entity_key]
    if isinstance(result, FeatureComputeError):
        raise result
    return result


async def compute_each_once(spec: FeatureSpec, entity_keys: Sequence[str]) -> Mapping[str, Result]:
    """Compute and store values; callers at the same time, in any process, share one computation of each.

    A batch function is called once for all that nobody computes yet. With Redis down the sharing ends at this
    process.
    """
    if is_dry():
        return await _compute(spec, entity_keys)
    loop = id(asyncio.get_running_loop())
    free = [key for key in entity_keys if (loop, spec.name, key) not in _flights]
    for group in in_parts(free, spec.batch_size or BATCH_SIZE):
        flight = spawn(_compute_locked(spec, group))
        places = [(loop, spec.name, key) for key in group]
        _flights.update(dict.fromkeys(places, flight))
        flight.add_done_callback(partial(_land, places))
    flights = {key: _flights[(loop, spec.name, key)] for key in entity_keys}
    # One caller that goes away must not cancel the value for the others.
    return {key: (await asyncio.shield(flight))[key] for key, flight in flights.items()}


def _land(places: Sequence[tuple[int, str, str]], flight: Any) -> None:
    for place in places:
        _flights.pop(place, None)


async def _compute_locked(spec: FeatureSpec, keys: Sequence[str]) -> dict[str, Result]:
    """Compute the keys whose lock is free, and wait for whoever computes the others."""
    started, give_up_at = datetime.now(UTC), time.monotonic() + LOCK_S
    found: dict[str, Result] = {}
    waiting, token, has_waited = list(keys), uuid.uuid4().hex, False
    while waiting:
        try:
            mine = await _lock(spec, waiting, token)
            if has_waited:  # also for a key that is mine now: its computation may have just ended
                found |= await _made_since(spec, waiting, started)
        except (*REDIS_ERRORS, OnlineStoreUnavailable):
            return found | await _compute(spec, [key for key in waiting if key not in found])
        todo = waiting if time.monotonic() > give_up_at else mine
        try:
            found |= await _compute(spec, [key for key in todo if key not in found])
        finally:
            await _release(spec, mine, token)
        waiting = [key for key in waiting if key not in found]
        if waiting:
            has_waited = True
            await asyncio.sleep(_POLL_S)
    return found


async def _lock(spec: FeatureSpec, keys: Sequence[str], token: str) -> list[str]:
    """Return the keys that are now this caller's to compute."""
    async with (await async_redis()).pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.set(redis_key("lock", spec.name, key), token, nx=True, px=LOCK_S * 1000)
        return [key for key, is_held in zip(keys, await pipe.execute(), strict=True) if is_held]


async def _release(spec: FeatureSpec, keys: Sequence[str], token: str) -> None:
    if not keys:
        return
    try:
        async with (await async_redis()).pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.eval(_RELEASE, 1, redis_key("lock", spec.name, key), token)
            await pipe.execute()
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: the locks of %s end by themselves.", spec.name)


async def _made_since(spec: FeatureSpec, keys: Sequence[str], moment: datetime) -> dict[str, StoredValue]:
    stored = await online_store.read_many(spec.entity.name, keys, [spec.name])
    values = {key: by_name[spec.name] for key, by_name in stored.items() if spec.name in by_name}
    return {key: value for key, value in values.items() if value.created_at >= moment}


async def _compute(spec: FeatureSpec, keys: Sequence[str]) -> dict[str, Any]:
    if not keys:
        return {}
    now = datetime.now(UTC)
    computed = await compute_values(spec, keys)
    if computed.defaulted:
        logger.info("%s said nothing of %d keys: they have the default.", spec.name, computed.defaulted)
    stored = await write_values(spec, computed.values, event_timestamp=now, source=FeatureValue.Source.COMPUTED)
    return {**stored, **computed.errors}
