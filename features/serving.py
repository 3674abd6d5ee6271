"""Serve feature values: online first, then offline, then computed; each says where it came from."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async

from common.background import spawn
from common.errors import FabraError, InvalidInput, NotFound
from common.operator_settings import Snapshot
from common.validation import check_key
from features import registry
from features.dry_run import is_dry
from features.errors import FeatureComputeError, OnlineStoreUnavailable
from features.freshness import Freshness, freshness
from features.models import FeatureDefinition, FeatureValue
from features.online import OnlineStore
from features.registry import EntitySpec, FeatureSpec
from features.signals import features_read
from features.single_flight import compute_each_once
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
    return (await read_features_of(entity, [entity_key], names))[entity_key]


async def read_features_of(
    entity: type | str, entity_keys: Sequence[str], names: Sequence[str]
) -> dict[str, list[FeatureRead]]:
    """Return the reads of many entities by key; a batch function is called once for all that miss it."""
    spec = _entity_spec(entity)
    keys = list(dict.fromkeys(check_key(key, spec.key) for key in entity_keys))
    specs = [_feature_spec(name, spec) for name in names]
    settings_by_name = await operator_settings.rows()
    online, is_degraded = await _read_online(spec.name, keys, list(names))
    offline: dict[str, dict[str, StoredValue]] = {}
    if absent := [key for key in keys if len(online[key]) < len(set(names))]:
        offline = await _read_offline(spec.name, absent, list(names))
        if offline and not is_degraded:
            await _fill_online(spec.name, offline)
    asked = [
        _Asked(
            spec=each,
            key=key,
            stored=online[key].get(each.name) or offline.get(key, {}).get(each.name),
            source="online" if each.name in online[key] else "offline",
            is_degraded=is_degraded,
            row=settings_by_name.get(each.name, {}),
        )
        for key in keys
        for each in specs
    ]
    reads = await _serve(asked)
    features_read.send(sender=None, values=reads)
    width = len(specs)
    return {key: reads[place * width : (place + 1) * width] for place, key in enumerate(keys)}


@dataclass(kw_only=True, slots=True)
class _Asked:
    """One feature of one entity in a read, and what the stores have of it."""

    spec: FeatureSpec
    key: str
    stored: StoredValue | None
    source: str
    is_degraded: bool
    row: dict[str, Any]
    """What an operator set."""
    state: Freshness | None = None


async def _read_online(
    entity: str, keys: Sequence[str], names: list[str]
) -> tuple[dict[str, dict[str, StoredValue]], bool]:
    try:
        if len(keys) == 1:
            return {keys[0]: await online_store.read(entity, keys[0], names)}, False
        return await online_store.read_many(entity, keys, names), False
    except OnlineStoreUnavailable:
        logger.warning("Redis does not answer: features of %s come from PostgreSQL.", entity)
        return {key: {} for key in keys}, True


@sync_to_async
def _read_offline(entity: str, keys: list[str], names: list[str]) -> dict[str, dict[str, StoredValue]]:
    found: dict[str, dict[str, StoredValue]] = {}
    for row in FeatureValue.objects.latest_of(entity, keys, names):
        found.setdefault(row.entity_key, {})[row.feature] = StoredValue.of_row(row)
    return found


async def _fill_online(entity: str, found: dict[str, dict[str, StoredValue]]) -> None:
    if is_dry():
        return
    try:
        await online_store.write(entity, found)
    except OnlineStoreUnavailable:
        logger.warning("Redis does not answer: values of %s were not put back online.", entity)


async def _serve(asked: list[_Asked]) -> list[FeatureRead]:
    """Serve what is stored, and compute the rest, each feature's missing entities together."""
    ready: list[FeatureRead | None] = []
    missing, stale = defaultdict[str, list[int]](list), defaultdict[str, list[str]](list)
    now = datetime.now(UTC)
    for place, each in enumerate(asked):
        ready.append(read := _serve_stored(each, now))
        if read is None:
            missing[each.spec.name].append(place)
        elif each.state is Freshness.STALE and not each.spec.trigger:
            stale[each.spec.name].append(each.key)
    for name, keys in stale.items():
        _recompute_behind(registry.features[name], keys)
    if missing:
        groups = [[asked[place] for place in places] for places in missing.values()]
        computed = await asyncio.gather(*map(_serve_computed, groups))
        for places, reads in zip(missing.values(), computed, strict=True):
            for place, read in zip(places, reads, strict=True):
                ready[place] = read
    return [read for read in ready if read is not None]


def _serve_stored(asked: _Asked, now: datetime) -> FeatureRead | None:
    """Return what can be served at once, or None for a value that must be computed first."""
    spec, stored = asked.spec, asked.stored
    if not asked.row.get("is_enabled", True):
        return _default(asked, "disabled")
    if stored is not None:
        limits = spec.limits.overridden(asked.row.get("refresh_override"))
        asked.state = freshness(stored.event_timestamp, limits, now)
        if asked.state is Freshness.FRESH or asked.state is Freshness.STALE:
            return _found(asked, stored, asked.state, now)
        if spec.trigger and asked.state is Freshness.OVERDUE:
            return _found(asked, stored, Freshness.STALE, now)  # only its next event, or its ttl, ends it
    if spec.trigger:  # never computed on a miss
        return _default(asked, "expired" if stored else "missing")
    return None


async def _serve_computed(asked: list[_Asked]) -> list[FeatureRead]:
    """Compute one feature, or let an older value or the default stand in where its function failed."""
    results = await compute_each_once(asked[0].spec, [each.key for each in asked])
    return [_computed(each, results[each.key]) for each in asked]


def _computed(asked: _Asked, result: StoredValue | FeatureComputeError) -> FeatureRead:
    if isinstance(result, FeatureComputeError):
        cause = type(result.__cause__ or result).__name__
        if asked.stored and asked.state is Freshness.OVERDUE:
            return _found(asked, asked.stored, Freshness.STALE, error=cause)
        if asked.spec.has_default:
            return _default(asked, "expired" if asked.stored else "missing", error=cause)
        raise result
    asked.source = "computed"
    # A function may take longer than its value is good for; it is served, but not as fresh.
    limits = asked.spec.limits.overridden(asked.row.get("refresh_override"))
    state = freshness(result.event_timestamp, limits, datetime.now(UTC))
    return _found(asked, result, Freshness.FRESH if state is Freshness.FRESH else Freshness.STALE)


def _found(
    asked: _Asked, stored: StoredValue, state: Freshness, now: datetime | None = None, error: str = ""
) -> FeatureRead:
    return FeatureRead(
        feature=asked.spec.name,
        entity=asked.spec.entity.name,
        entity_key=asked.key,
        value=stored.value,
        status=state.value,
        source=asked.source,
        event_timestamp=stored.event_timestamp,
        created_at=stored.created_at,
        age_s=max(0.0, round(((now or datetime.now(UTC)) - stored.event_timestamp).total_seconds(), 3)),
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


def _recompute_behind(spec: FeatureSpec, keys: list[str]) -> None:
    async def recompute() -> None:
        try:
            results = await compute_each_once(spec, keys)
        except FabraError as error:
            logger.warning("Recomputing %s behind a stale value failed: %s", spec.name, error)
            return
        if failed := [each for each in results.values() if isinstance(each, FeatureComputeError)]:
            logger.warning("Recomputing %s behind %d stale values failed: %s", spec.name, len(failed), failed[0])

    if not is_dry():
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
