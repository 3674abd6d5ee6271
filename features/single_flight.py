"""Compute and store missing values once, also if many callers in many processes request them at the same time."""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from common.background import spawn
from common.clocks import latest_possible
from common.redis import REDIS_ERRORS, async_redis, redis_key
from features.compute import compute_values, in_parts
from features.dry_run import is_dry_run
from features.errors import FeatureComputeError, OnlineStoreUnavailable
from features.failures import note_failures
from features.models import FeatureValue
from features.online import OnlineStore
from features.registry import BATCH_SIZE, FeatureSpec
from features.value_writer import write_values
from features.values import StoredValue

logger = logging.getLogger(__name__)
online_store = OnlineStore()

ComputedResult = StoredValue | FeatureComputeError

LOCK_S = 30
"""How long other callers wait for a computation; after that they compute the value themselves."""
_POLL_S = 0.02

_in_flight: dict[tuple[int, str, str], asyncio.Task[dict[str, ComputedResult]]] = {}

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


async def compute_each_once(spec: FeatureSpec, entity_keys: Sequence[str]) -> Mapping[str, ComputedResult]:
    """Compute and store values; concurrent callers, in any process, share one computation of each value.

    A batch function is called once for all keys that are not being computed. Without Redis only callers in this
    process share computations.
    """
    if is_dry_run():
        return await _compute(spec, entity_keys)
    loop = id(asyncio.get_running_loop())
    free = [key for key in entity_keys if (loop, spec.name, key) not in _in_flight]
    for group in in_parts(free, spec.batch_size or BATCH_SIZE):
        computation = spawn(_compute_locked(spec, group))
        ids = [(loop, spec.name, key) for key in group]
        _in_flight.update(dict.fromkeys(ids, computation))
        computation.add_done_callback(partial(_forget, ids))
    computations = {key: _in_flight[(loop, spec.name, key)] for key in entity_keys}
    # A caller that is cancelled must not cancel the computation for the others.
    return {key: (await asyncio.shield(computation))[key] for key, computation in computations.items()}


def _forget(ids: Sequence[tuple[int, str, str]], computation: Any) -> None:
    for id_ in ids:
        _in_flight.pop(id_, None)


async def _compute_locked(spec: FeatureSpec, keys: Sequence[str]) -> dict[str, ComputedResult]:
    """Compute the keys whose lock is free, and wait for the callers that compute the others."""
    started, give_up_at = datetime.now(UTC), time.monotonic() + LOCK_S
    found: dict[str, ComputedResult] = {}
    waiting, token, has_waited = list(keys), uuid.uuid4().hex, False
    while waiting:
        try:
            mine = await _lock(spec, waiting, token)
            if has_waited:  # also for a key whose lock was just acquired: its computation may have just ended
                found |= await _stored_since(spec, waiting, started)
        except (*REDIS_ERRORS, OnlineStoreUnavailable):
            return found | await _compute(spec, [key for key in waiting if key not in found])
        to_compute = waiting if time.monotonic() > give_up_at else mine
        try:
            found |= await _compute(spec, [key for key in to_compute if key not in found])
        finally:
            await _release(spec, mine, token)
        waiting = [key for key in waiting if key not in found]
        if waiting:
            has_waited = True
            await asyncio.sleep(_POLL_S)
    return found


async def _lock(spec: FeatureSpec, keys: Sequence[str], token: str) -> list[str]:
    """Lock the keys that are free, and return them."""
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


async def _stored_since(spec: FeatureSpec, keys: Sequence[str], moment: datetime) -> dict[str, StoredValue]:
    stored = await online_store.read_many(spec.entity.name, keys, [spec.name])
    values = {key: by_name[spec.name] for key, by_name in stored.items() if spec.name in by_name}
    latest = latest_possible()  # what lies beyond it was not written since, but by a clock that was ahead
    return {key: value for key, value in values.items() if moment <= value.created_at <= latest}


async def _compute(spec: FeatureSpec, keys: Sequence[str]) -> dict[str, Any]:
    if not keys:
        return {}
    now = datetime.now(UTC)
    computed = await compute_values(spec, keys)
    if computed.defaulted:
        logger.info("%s returned no value for %d keys: they have the default.", spec.name, computed.defaulted)
    stored = await write_values(spec, computed.values, event_timestamp=now, source=FeatureValue.Source.COMPUTED)
    if not is_dry_run():
        await note_failures(spec.name, computed.errors)
    return {**stored, **computed.errors}
