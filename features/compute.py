"""Run a feature's function, once however many ask, and write what it returned to both stores."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction

from features.background import spawn
from features.errors import FeatureComputeError, OnlineStoreUnavailable
from features.models import FeatureValue, KnownEntity, OnlineRepair
from features.online import OnlineStore
from features.redis_clients import REDIS_ERRORS, async_redis, redis_key
from features.registry import FeatureSpec
from features.text import to_json
from features.values import StoredValue

logger = logging.getLogger(__name__)
online_store = OnlineStore()

LOCK_S = 30
"""How long a computation may keep others waiting; past it the next one computes for itself."""
_POLL_S = 0.02

_flights: dict[tuple[int, str, str], asyncio.Task[StoredValue]] = {}

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


async def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a definition's function; a plain one runs in a thread, where it may use the ORM."""
    if iscoroutinefunction(function):
        return await function(*args, **kwargs)
    return await sync_to_async(function)(*args, **kwargs)


async def run_function(spec: FeatureSpec, entity_key: str, event: Any = None) -> Any:
    """Return what the feature's function returns; raise FeatureComputeError from what it raised."""
    args = (entity_key, event) if spec.takes_event else (entity_key,)
    try:
        value = await call(spec.function, *args)
        to_json(value, f"The value of {spec.name}")
    except Exception as error:  # the function is the user's: whatever it raises is a failed computation
        raise FeatureComputeError(f"The feature {spec.name!r} failed with {type(error).__name__}.") from error
    return value


async def compute_once(spec: FeatureSpec, entity_key: str) -> StoredValue:
    """Compute and store a value; callers at the same time, in any process, share one computation.

    With Redis down the sharing ends at this process.
    """
    key = (id(asyncio.get_running_loop()), spec.name, entity_key)
    flight = _flights.get(key)
    if flight is None:
        flight = _flights[key] = spawn(_compute_locked(spec, entity_key))
        flight.add_done_callback(lambda _: _flights.pop(key, None))
    # One caller that goes away must not cancel the value for the others.
    return await asyncio.shield(flight)


async def _compute_locked(spec: FeatureSpec, entity_key: str) -> StoredValue:
    started = datetime.now(UTC)
    lock, token = redis_key("lock", spec.name, entity_key), uuid.uuid4().hex
    try:
        client = await async_redis()
        give_up_at = time.monotonic() + LOCK_S
        while not await client.set(lock, token, nx=True, px=LOCK_S * 1000):
            await asyncio.sleep(_POLL_S)
            other = (await online_store.read(spec.entity.name, entity_key, [spec.name])).get(spec.name)
            if other and other.created_at.timestamp() >= started.timestamp() - 0.001:
                return other
            if time.monotonic() > give_up_at:
                break
    except (*REDIS_ERRORS, OnlineStoreUnavailable):
        return await _compute(spec, entity_key)
    try:
        return await _compute(spec, entity_key)
    finally:
        try:
            await client.eval(_RELEASE, 1, lock, token)
        except REDIS_ERRORS:
            logger.warning("Redis does not answer: the lock of %s ends by itself.", spec.name)


async def _compute(spec: FeatureSpec, entity_key: str) -> StoredValue:
    now = datetime.now(UTC)
    value = await run_function(spec, entity_key)
    stored = await write_values(spec, {entity_key: value}, event_timestamp=now, source=FeatureValue.Source.COMPUTED)
    return stored[entity_key]


async def write_values(
    spec: FeatureSpec,
    values: Mapping[str, Any],
    *,
    event_timestamp: datetime,
    source: str,
    run_id: int | None = None,
    event_id: int | None = None,
) -> dict[str, StoredValue]:
    """Write values by entity key, offline first; what Redis could not be told is noted for the sweep."""
    created_at = datetime.now(UTC)

    @sync_to_async
    def write_offline() -> list[FeatureValue]:
        with transaction.atomic():
            if source != FeatureValue.Source.MATERIALIZED:
                KnownEntity.objects.touch(spec.entity.name, list(values))
            return FeatureValue.objects.bulk_create(
                FeatureValue(
                    entity=spec.entity.name,
                    entity_key=key,
                    feature=spec.name,
                    value=value,
                    event_timestamp=event_timestamp,
                    created_at=created_at,
                    source=source,
                    run_id=run_id,
                    event_id=event_id,
                )
                for key, value in values.items()
            )

    rows = await write_offline()
    stored = {
        row.entity_key: StoredValue(
            value=row.value, event_timestamp=event_timestamp, created_at=created_at, value_id=row.pk
        )
        for row in rows
    }
    await put_online(spec.entity.name, spec.name, stored)
    return stored


async def put_online(entity: str, feature: str, stored: Mapping[str, StoredValue]) -> None:
    """Write to Redis; if it does not answer, note the values so that the sweep writes them later."""
    try:
        await online_store.write(entity, {key: {feature: value} for key, value in stored.items()})
    except OnlineStoreUnavailable:
        logger.warning("Redis does not answer: %d values of %s are written online later.", len(stored), feature)
        await OnlineRepair.objects.abulk_create(
            [OnlineRepair(entity=entity, entity_key=key, feature=feature) for key in stored], ignore_conflicts=True
        )
