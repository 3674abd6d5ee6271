"""Preview a feature for one entity: compute its value without storing anything."""

import time
import traceback
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asgiref.sync import async_to_sync

from common.validation import check_identity
from events.event import AxiomEvent
from features.compute import run_function, run_on_demand
from features.dry_run import dry_run
from features.errors import FeatureComputeError
from features.registry import FeatureSpec
from features.serving import read_features


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The result of one call of a feature's function."""

    value: Any
    duration_ms: float
    error: str
    """The exception of the function, in one line; empty if it returned."""
    traceback: str


def preview_feature(
    spec: FeatureSpec, entity_key: str, *, as_of: datetime | None = None, payload: dict[str, Any] | None = None
) -> Preview:
    """Call the function once, as on a miss; with a trigger it gets an event with `payload`, with a source `payload`.

    On demand `payload` is what is known of the request.

    Neither store, nor a run or a lock, is changed, also not for features that the function reads; rows that it
    writes itself are rolled back. Raise InvalidInput for an invalid key.
    """
    entity_key = check_identity(entity_key, spec.entity.key)
    event: Any = payload if spec.source else None
    if spec.trigger:
        event = AxiomEvent(event_type=spec.trigger, entity_id=entity_key, payload=payload or {})
    value, error, trace = None, "", ""
    started = time.perf_counter()
    with dry_run():
        try:
            if spec.on_demand:
                value = async_to_sync(_on_demand)(spec, entity_key, payload or {})
            else:
                value = async_to_sync(run_function)(spec, entity_key, event, as_of=as_of)
        except FeatureComputeError as failed:
            cause = failed.__cause__ or failed
            error = "".join(traceback.format_exception_only(cause)).strip()
            trace = "".join(traceback.format_exception(cause))
        duration_ms = (time.perf_counter() - started) * 1000
    return Preview(value=value, duration_ms=round(duration_ms, 3), error=error, traceback=trace)


async def _on_demand(spec: FeatureSpec, entity_key: str, request: dict[str, Any]) -> Any:
    reads = await read_features(spec.entity.name, entity_key, spec.inputs, request)
    return await run_on_demand(spec, entity_key, {read.feature: read.value for read in reads}, request)
