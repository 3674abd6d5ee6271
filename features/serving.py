"""Serve feature values: online first, then offline, then computed; each says where it came from."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async

from features import registry
from features.background import spawn
from features.compute import compute_once
from features.errors import FabraError, FeatureComputeError, InvalidInput, NotFound, OnlineStoreUnavailable
from features.freshness import Freshness, Limits, freshness
from features.models import FeatureDefinition, FeatureValue
from features.online import OnlineStore
from features.overrides import Snapshot
from features.registry import EntitySpec, FeatureSpec
from features.signals import features_read
from features.text import check_key
from features.values import FeatureRead, StoredValue

logger = logging.getLogger(__name__)
online_store = OnlineStore()

operator_settings: Snapshot[dict[str, Any]] = Snapshot(
    lambda: {
        row["name"]: dict(row) for row in FeatureDefinition.objects.values("name", "is_enabled", "refresh_override")
    }
)


async def read_features(entity: type | str, entity_key: str, names: Sequence[str]) -> list[FeatureRead]:
    """Return one read for each name, in order: one Redis round trip when all are there.

    Raise NotFound for an undeclared name, InvalidInput for a key that cannot be one, and
    FeatureComputeError when a function fails and neither an older value nor a default stands in.
    """
    spec = _entity_spec(entity)
    check_key(entity_key, spec.key)
    specs = [_feature_spec(name, spec) for name in names]
    settings_by_name = await operator_settings.rows()
    stored, is_degraded = await _read_online(spec.name, entity_key, list(names))
    absent = [name for name in names if name not in stored]
    source = dict.fromkeys(stored, "online")
    if absent:
        found = await _read_offline(spec.name, entity_key, absent)
        stored |= found
        source |= dict.fromkeys(found, "offline")
        if found and not is_degraded:
            await _fill_online(spec.name, entity_key, found)
    reads = await asyncio.gather(
        *(
            _serve(each, entity_key, stored.get(each.name), source.get(each.name, ""), is_degraded, settings_by_name)
            for each in specs
        )
    )
    features_read.send(sender=None, values=reads)
    return list(reads)


async def _read_online(entity: str, key: str, names: list[str]) -> tuple[dict[str, StoredValue], bool]:
    try:
        return await online_store.read(entity, key, names), False
    except OnlineStoreUnavailable:
        logger.warning("Redis does not answer: features of %s come from PostgreSQL.", entity)
        return {}, True


@sync_to_async
def _read_offline(entity: str, key: str, names: list[str]) -> dict[str, StoredValue]:
    return {row.feature: StoredValue.of_row(row) for row in FeatureValue.objects.latest_of(entity, key, names)}


async def _fill_online(entity: str, key: str, found: dict[str, StoredValue]) -> None:
    try:
        await online_store.write(entity, {key: found})
    except OnlineStoreUnavailable:
        logger.warning("Redis does not answer: values of %s were not put back online.", entity)


async def _serve(
    spec: FeatureSpec,
    key: str,
    stored: StoredValue | None,
    source: str,
    is_degraded: bool,
    settings_by_name: dict[str, dict[str, Any]],
) -> FeatureRead:
    """Decide for one feature: serve what is stored, compute, or fall back to the default."""
    row = settings_by_name.get(spec.name, {})
    if not row.get("is_enabled", True):
        return _default(spec, key, "disabled", is_degraded)
    state = None
    if stored is not None:
        state = freshness(stored.event_timestamp, Limits.of(spec, row.get("refresh_override")), datetime.now(UTC))
    if stored and state in (Freshness.FRESH, Freshness.STALE):
        if state is Freshness.STALE and not spec.trigger:
            _recompute_behind(spec, key)
        return _found(spec, key, stored, state, source, is_degraded)
    if spec.trigger:
        # An event feature is never computed on a miss; only its ttl ends a value.
        return _default(spec, key, "expired" if stored else "missing", is_degraded)
    try:
        computed = await compute_once(spec, key)
    except FeatureComputeError as error:
        cause = type(error.__cause__).__name__
        if stored and state is Freshness.OVERDUE:
            return _found(spec, key, stored, Freshness.STALE, source, is_degraded, error=cause)
        if spec.has_default:
            return _default(spec, key, "expired" if stored else "missing", is_degraded, error=cause)
        raise
    return _found(spec, key, computed, Freshness.FRESH, "computed", is_degraded)


def _found(
    spec: FeatureSpec, key: str, stored: StoredValue, state: Freshness, source: str, is_degraded: bool, error: str = ""
) -> FeatureRead:
    return FeatureRead(
        feature=spec.name,
        entity=spec.entity.name,
        entity_key=key,
        value=stored.value,
        status=state.value,
        source=source,
        event_timestamp=stored.event_timestamp,
        created_at=stored.created_at,
        age_s=max(0.0, round((datetime.now(UTC) - stored.event_timestamp).total_seconds(), 3)),
        value_id=stored.value_id,
        is_degraded=is_degraded,
        error=error,
    )


def _default(spec: FeatureSpec, key: str, status: str, is_degraded: bool, error: str = "") -> FeatureRead:
    return FeatureRead(
        feature=spec.name,
        entity=spec.entity.name,
        entity_key=key,
        value=spec.default,
        status=status,
        source="default",
        is_degraded=is_degraded,
        error=error,
    )


def _recompute_behind(spec: FeatureSpec, key: str) -> None:
    async def recompute() -> None:
        try:
            await compute_once(spec, key)
        except FabraError as error:
            logger.warning("Recomputing %s behind a stale value failed: %s", spec.name, error)

    spawn(recompute())


def _entity_spec(entity: type | str) -> EntitySpec:
    if isinstance(entity, str):
        return registry.entities.require(entity)
    spec = getattr(entity, "__fabra_entity__", None)
    if spec is None:
        raise NotFound(f"{entity!r} is no declared entity.")
    return spec


def _feature_spec(name: str, entity: EntitySpec) -> FeatureSpec:
    spec = registry.features.require(name)
    if spec.entity.name != entity.name:
        raise InvalidInput(f"The feature {name!r} belongs to the entity {spec.entity.name!r}, not to {entity.name!r}.")
    return spec
