"""Features that are computed at each read, from other features and the request's data, and never stored."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from common.errors import DefinitionError
from features import registry
from features.compute import run_on_demand
from features.errors import FeatureComputeError
from features.failures import note_failures
from features.registry import FeatureSpec
from features.value_types import InvalidFeatureValue
from features.values import FeatureRead

ON_DEMAND = "on_demand"
"""The source of such a value, in a read and in a trace."""

ReadResult = FeatureRead | FeatureComputeError


def check_inputs(spec: FeatureSpec) -> None:
    """Raise DefinitionError where the feature needs itself, also by others, or one of another entity.

    An input may be declared later; `manage.py check` reports one that never is.
    """
    for path in _paths(spec, (spec.name,)):
        if path[-1] == spec.name:
            raise DefinitionError(f"The feature {spec.name!r} needs itself: {' -> '.join(path)}.")
        known = registry.features.get(path[-1])
        if known and known.entity.name != spec.entity.name:
            raise DefinitionError(
                f"The feature {spec.name!r} of {spec.entity.name} needs {known.name!r}, which is one of "
                f"{known.entity.name}: its entity key is another one."
            )


def _paths(spec: FeatureSpec, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the way to each input, direct or not; it ends at a name that was on the way before."""
    for name in spec.inputs:
        yield (*path, name)
        known = registry.features.get(name)
        if known is not None and name not in path:
            yield from _paths(known, (*path, name))


def with_inputs(specs: Sequence[FeatureSpec]) -> list[FeatureSpec]:
    """Return the features, and what they need that is not among them, each behind its inputs; raise NotFound."""
    ordered: dict[str, FeatureSpec] = {}

    def add(spec: FeatureSpec) -> None:
        for name in spec.inputs:
            if name not in ordered:
                add(registry.features.require(name))
        ordered.setdefault(spec.name, spec)

    for spec in specs:
        add(spec)
    return list(ordered.values())


async def compute_each(
    specs: Sequence[FeatureSpec],
    found: Mapping[str, dict[str, ReadResult]],
    request: Mapping[str, Any],
    is_enabled: Mapping[str, bool],
) -> None:
    """Add the on-demand features to what was found, by entity key and feature; `specs` stand behind their inputs."""

    async def compute_for(key: str, by_name: dict[str, ReadResult]) -> None:
        for spec in specs:
            if is_enabled[spec.name]:
                by_name[spec.name] = await _compute(spec, key, by_name, request)
            else:
                by_name[spec.name] = _default(spec, key, "disabled")

    await asyncio.gather(*[compute_for(key, by_name) for key, by_name in found.items()])


async def _compute(
    spec: FeatureSpec, key: str, by_name: Mapping[str, ReadResult], request: Mapping[str, Any]
) -> ReadResult:
    inputs: dict[str, Any] = {}
    for name in spec.inputs:
        result = by_name[name]
        if isinstance(result, FeatureComputeError):  # counted as a failure of that one
            error = FeatureComputeError(f"The feature {spec.name!r} needs {name!r}, which failed.")
            error.__cause__ = result.__cause__ or result
            return _default(spec, key, "missing", error) if spec.has_default else error
        inputs[name] = result.value
    try:
        stored = await run_on_demand(spec, key, inputs, request)
        value = spec.value_type.decode(stored)
    except (FeatureComputeError, InvalidFeatureValue) as failed:
        error = failed if isinstance(failed, FeatureComputeError) else FeatureComputeError(str(failed))
        await note_failures(spec.name, {key: error})
        return _default(spec, key, "missing", error) if spec.has_default else error
    now = datetime.now(UTC)
    return FeatureRead(
        feature=spec.name,
        entity=spec.entity.name,
        entity_key=key,
        value=value,
        stored=stored,
        status="fresh",
        source=ON_DEMAND,
        event_timestamp=now,
        created_at=now,
        age_s=0.0,
    )


def _default(spec: FeatureSpec, key: str, status: str, error: FeatureComputeError | None = None) -> FeatureRead:
    return FeatureRead(
        feature=spec.name,
        entity=spec.entity.name,
        entity_key=key,
        value=spec.default,
        stored=spec.default_json,
        status=status,
        source="default",
        error=type(error.__cause__ or error).__name__ if error else "",
    )
