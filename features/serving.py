"""Serve feature values: online first, then offline, then computed; each says where it came from."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
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
    asked = [
        _Asked(
            spec=each,
            key=entity_key,
            stored=stored.get(each.name),
            source=source.get(each.name, ""),
            is_degraded=is_degraded,
            row=settings_by_name.get(each.name, {}),
        )
        for each in specs
    ]
    ready = [_serve_stored(each) for each in asked]
    missing = [place for place, read in enumerate(ready) if read is None]
    if missing:
        computed = await asyncio.gather(*(_serve_computed(asked[place]) for place in missing))
        for place, read in zip(missing, computed, strict=True):
            ready[place] = read
    reads = [read for read in ready if read is not None]
    features_read.send(sender=None, values=reads)
    return reads


@dataclass(kw_only=True, slots=True)
class _Asked:
    """One feature of a read, and what the stores have of it."""

    spec: FeatureSpec
    key: str
    stored: StoredValue | None
    source: str
    is_degraded: bool
    row: dict[str, Any]
    """What an operator set."""
    state: Freshness | None = None


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


def _serve_stored(asked: _Asked) -> FeatureRead | None:
    """Return what can be served at once, or None for a value that must be computed first."""
    spec, stored = asked.spec, asked.stored
    if not asked.row.get("is_enabled", True):
        return _default(asked, "disabled")
    if stored is not None:
        limits = Limits.of(spec, asked.row.get("refresh_override"))
        asked.state = freshness(stored.event_timestamp, limits, datetime.now(UTC))
        if asked.state is Freshness.FRESH:
            return _found(asked, stored, asked.state)
        if spec.trigger and asked.state is not Freshness.EXPIRED:
            return _found(asked, stored, Freshness.STALE)  # only its next event, or its ttl, ends it
        if asked.state is Freshness.STALE:
            _recompute_behind(spec, asked.key)
            return _found(asked, stored, asked.state)
    if spec.trigger:  # never computed on a miss
        return _default(asked, "expired" if stored else "missing")
    return None


async def _serve_computed(asked: _Asked) -> FeatureRead:
    """Compute, or let an older value or the default stand in for a function that failed."""
    try:
        computed = await compute_once(asked.spec, asked.key)
    except FeatureComputeError as error:
        cause = type(error.__cause__).__name__
        if asked.stored and asked.state is Freshness.OVERDUE:
            return _found(asked, asked.stored, Freshness.STALE, error=cause)
        if asked.spec.has_default:
            return _default(asked, "expired" if asked.stored else "missing", error=cause)
        raise
    asked.source = "computed"
    return _found(asked, computed, Freshness.FRESH)


def _found(asked: _Asked, stored: StoredValue, state: Freshness, error: str = "") -> FeatureRead:
    return FeatureRead(
        feature=asked.spec.name,
        entity=asked.spec.entity.name,
        entity_key=asked.key,
        value=stored.value,
        status=state.value,
        source=asked.source,
        event_timestamp=stored.event_timestamp,
        created_at=stored.created_at,
        age_s=max(0.0, round((datetime.now(UTC) - stored.event_timestamp).total_seconds(), 3)),
        value_id=stored.value_id,
        is_degraded=asked.is_degraded,
        error=error,
    )


def _default(asked: _Asked, status: str, error: str = "") -> FeatureRead:
    return FeatureRead(
        feature=asked.spec.name,
        entity=asked.spec.entity.name,
        entity_key=asked.key,
        value=asked.spec.default,
        status=status,
        source="default",
        is_degraded=asked.is_degraded,
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
