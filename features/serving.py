"""Serve feature values: from the online store, else the offline store, else computed; each read names its source."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async

from common.background import spawn
from common.errors import FabraError, InvalidInput, NotFound
from common.operator_settings import Snapshot
from common.validation import check_identity
from features import registry
from features.dry_run import is_dry_run
from features.errors import FeatureComputeError, FeatureValueRefused, OnlineStoreUnavailable
from features.freshness import Freshness, freshness
from features.models import FeatureDefinition, FeatureValue
from features.offline import stored_values
from features.on_demand import ReadResult, compute_each, with_inputs
from features.online import OnlineStore
from features.registry import EntitySpec, FeatureSpec
from features.request_data import current_request_data
from features.signals import features_read
from features.single_flight import compute_each_once
from features.value_types import InvalidFeatureValue
from features.values import FeatureRead, StoredValue

logger = logging.getLogger(__name__)
online_store = OnlineStore()

operator_settings: Snapshot[dict[str, Any]] = Snapshot(
    lambda: {
        row["name"]: dict(row) for row in FeatureDefinition.objects.values("name", "is_enabled", "refresh_override")
    }
)


async def read_features(
    entity: type | str, entity_key: str, names: Sequence[str], request: Mapping[str, Any] | None = None
) -> list[FeatureRead]:
    """Return one read for each name, in order: one Redis round trip if all values are online.

    `request` is for on-demand features, beside what `features.request_data` has.

    Raise NotFound for an undeclared name, InvalidInput for an invalid key, and
    FeatureComputeError when a function fails and there is neither an older value nor a default to serve.
    """
    return (await read_features_of(entity, [entity_key], names, request))[entity_key]


async def read_features_of(
    entity: type | str, entity_keys: Sequence[str], names: Sequence[str], request: Mapping[str, Any] | None = None
) -> dict[str, list[FeatureRead]]:
    """Return the reads of many entities by key; a batch function is called once for all that have no value."""
    entity_spec = _entity_spec(entity)
    normalised = {key: check_identity(key, entity_spec.key) for key in entity_keys}
    keys = list(dict.fromkeys(normalised.values()))
    asked = [_feature_spec(name, entity_spec) for name in dict.fromkeys(names)]
    needed, on_demand = asked, []
    if any(spec.on_demand for spec in asked):
        closure = with_inputs(asked)
        needed, on_demand = [spec for spec in closure if not spec.on_demand], [s for s in closure if s.on_demand]
    settings_by_name = await operator_settings.rows()
    requests = await _requests(entity_spec, keys, needed, settings_by_name) if needed else []
    results: dict[str, dict[str, ReadResult]] = {key: {} for key in keys}
    for served, result in zip(requests, await _serve(requests), strict=True):
        results[served.key][served.spec.name] = result
    if on_demand:
        is_enabled = {spec.name: settings_by_name.get(spec.name, {}).get("is_enabled", True) for spec in on_demand}
        await compute_each(on_demand, results, {**current_request_data(), **(request or {})}, is_enabled)
    by_key = {key: [_read_of(results[key][name]) for name in names] for key in keys}
    reads = [result for of_key in results.values() for result in of_key.values() if isinstance(result, FeatureRead)]
    features_read.send(sender=None, values=reads)
    return {given: by_key[key] for given, key in normalised.items()}


def _read_of(result: ReadResult) -> FeatureRead:
    if isinstance(result, FeatureComputeError):
        raise result
    return result


async def _requests(
    entity: EntitySpec, keys: list[str], specs: Sequence[FeatureSpec], settings_by_name: Mapping[str, Any]
) -> list["_FeatureRequest"]:
    """Return the requested features of each entity with their stored values, read in one Redis round trip."""
    names = [spec.name for spec in specs]
    online, is_degraded = await _read_online(entity.name, keys, names)
    offline: dict[str, dict[str, StoredValue]] = {}
    if absent := [key for key in keys if len(online[key]) < len(names)]:
        offline = await _read_offline(entity.name, absent, names)
        if offline and not is_degraded:
            await _fill_online(entity.name, offline)
    return [
        _FeatureRequest(
            spec=spec,
            key=key,
            stored=online[key].get(spec.name) or offline.get(key, {}).get(spec.name),
            source="online" if spec.name in online[key] else "offline",
            is_degraded=is_degraded,
            row=settings_by_name.get(spec.name, {}),
        )
        for key in keys
        for spec in specs
    ]


@dataclass(kw_only=True, slots=True)
class _FeatureRequest:
    """One requested feature of one entity, with its stored value."""

    spec: FeatureSpec
    key: str
    stored: StoredValue | None
    source: str
    is_degraded: bool
    row: dict[str, Any]
    """The operator's settings of the feature."""
    state: Freshness | None = None
    value: Any = None
    """That of `stored`, decoded."""

    def decode(self) -> None:
        """Decode the stored value; forget one that is not of the declared type, which may have changed since."""
        if self.stored is None:
            return
        try:
            self.value = self.spec.value_type.decode(self.stored.value)
        except InvalidFeatureValue as error:
            logger.warning("A stored value counts as missing. %s", error)
            self.stored = None


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
    for row, stored in stored_values(FeatureValue.objects.latest_of(entity, keys, names)):
        found.setdefault(row.entity_key, {})[row.feature] = stored
    return found


async def _fill_online(entity: str, found: dict[str, dict[str, StoredValue]]) -> None:
    if is_dry_run():
        return
    try:
        await online_store.write(entity, found)
    except OnlineStoreUnavailable:
        logger.warning("Redis does not answer: values of %s were not put back online.", entity)


async def _serve(requests: list[_FeatureRequest]) -> list[ReadResult]:
    """Serve stored values, and compute the others, all entities of a feature together; what fails is an error."""
    ready: list[ReadResult | None] = []
    missing, stale = defaultdict[str, list[int]](list), defaultdict[str, list[str]](list)
    now = datetime.now(UTC)
    for index, request in enumerate(requests):
        ready.append(read := _serve_stored(request, now))
        if read is None:
            missing[request.spec.name].append(index)
        elif request.state is Freshness.STALE and not request.spec.is_pushed:
            stale[request.spec.name].append(request.key)
    for name, keys in stale.items():
        _recompute_in_background(registry.features[name], keys)
    if missing:
        groups = [[requests[index] for index in indexes] for indexes in missing.values()]
        computed = await asyncio.gather(*map(_serve_computed, groups))
        for indexes, reads in zip(missing.values(), computed, strict=True):
            for index, result in zip(indexes, reads, strict=True):
                ready[index] = result
    return [result for result in ready if result is not None]


def _serve_stored(request: _FeatureRequest, now: datetime) -> FeatureRead | None:
    """Return a read that can be served at once, or None if the value must be computed first."""
    request.decode()
    spec, stored = request.spec, request.stored
    if not request.row.get("is_enabled", True):
        return _default(request, "disabled")
    if stored is not None:
        limits = spec.limits.overridden(request.row.get("refresh_override"))
        request.state = freshness(stored.event_timestamp, limits, now)
        if request.state is Freshness.FRESH or request.state is Freshness.STALE:
            return _found(request, stored, request.state, now)
        if spec.is_pushed and request.state is Freshness.OVERDUE:
            return _found(request, stored, Freshness.STALE, now)  # it stays served until its next value or its ttl
    if spec.is_pushed:  # never computed on a miss
        return _default(request, "expired" if stored else "missing")
    return None


async def _serve_computed(requests: list[_FeatureRequest]) -> list[ReadResult]:
    """Compute one feature for its requests; where its function fails, serve an older value or the default."""
    results = await compute_each_once(requests[0].spec, [request.key for request in requests])
    return [_computed(request, results[request.key]) for request in requests]


def _computed(request: _FeatureRequest, result: StoredValue | FeatureComputeError) -> ReadResult:
    if isinstance(result, FeatureComputeError):
        cause = type(result.__cause__ or result).__name__
        if request.stored and request.state is Freshness.OVERDUE:
            return _found(request, request.stored, Freshness.STALE, error=cause)
        if request.spec.has_default:
            return _default(request, "expired" if request.stored else "missing", error=cause)
        return result
    request.source, request.stored = "computed", result
    try:
        request.value = request.spec.value_type.decode(result.value)
    except InvalidFeatureValue as error:  # computed by a process that runs another version of the definitions
        refused = FeatureValueRefused(str(error))
        refused.__cause__ = error
        return refused
    # A function may take longer than its value stays fresh; the value is then served as stale.
    limits = request.spec.limits.overridden(request.row.get("refresh_override"))
    state = freshness(result.event_timestamp, limits, datetime.now(UTC))
    return _found(request, result, Freshness.FRESH if state is Freshness.FRESH else Freshness.STALE)


def _found(
    request: _FeatureRequest, stored: StoredValue, state: Freshness, now: datetime | None = None, error: str = ""
) -> FeatureRead:
    return FeatureRead(
        feature=request.spec.name,
        entity=request.spec.entity.name,
        entity_key=request.key,
        value=request.value,
        stored=stored.value,
        status=state.value,
        source=request.source,
        event_timestamp=stored.event_timestamp,
        created_at=stored.created_at,
        age_s=max(0.0, round(((now or datetime.now(UTC)) - stored.event_timestamp).total_seconds(), 3)),
        value_id=stored.value_id,
        is_degraded=request.is_degraded,
        error=error,
    )


def _default(request: _FeatureRequest, status: str, error: str = "") -> FeatureRead:
    return FeatureRead(
        feature=request.spec.name,
        entity=request.spec.entity.name,
        entity_key=request.key,
        value=request.spec.default,
        stored=request.spec.default_json,
        status=status,
        source="default",
        is_degraded=request.is_degraded,
        error=error,
    )


def _recompute_in_background(spec: FeatureSpec, keys: list[str]) -> None:
    async def recompute() -> None:
        try:
            results = await compute_each_once(spec, keys)
        except FabraError as error:
            logger.warning("Recomputing %s behind a stale value failed: %s", spec.name, error)
            return
        if failed := [result for result in results.values() if isinstance(result, FeatureComputeError)]:
            logger.warning("Recomputing %s behind %d stale values failed: %s", spec.name, len(failed), failed[0])

    if not is_dry_run():
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
