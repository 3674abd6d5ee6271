"""Events about outdated values, and their handlers, which compute these anew.

An event says that something changed, not what the value is: of two transactions the one that was begun first may end
last. Read after both, the value is right whatever their order, and of many events about a key one computation remains.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import async_to_sync

from events.handlers import Handler
from events.models import Event
from features.dispatch import enqueue_run
from features.event_values import write_of_event
from features.materialization.requests import request_run
from features.models import FeatureValue, MaterializationRun
from features.registry import FeatureSpec, features
from features.serving import operator_settings

OUTDATED = "feature_outdated"
FEATURE, ALL = "feature", "all"
"""What the payload has: the feature's name, and whether all its values are meant."""


def scope_of(payload: dict[str, Any]) -> str:
    """Return which of an entity's values is meant."""
    return f"{'all ' if payload.get(ALL) else ''}{payload.get(FEATURE, '')}"[:250]


def handlers(event: Event) -> Sequence[Handler]:
    """Return what computes an outdated value anew; a client cannot send such an event."""
    if event.event_type != OUTDATED or event.source != Event.Source.SIGNAL:
        return []
    spec = features.get(event.payload.get(FEATURE, ""))
    if spec is None or spec.queryset is None:
        return []
    rows = async_to_sync(operator_settings.rows)()
    if not rows.get(spec.name, {}).get("is_enabled", True):
        return [Handler(name=f"feature:{spec.name}", handle=_leave, applies_state=True, reads_current=True)]
    handle = _begin_run(spec) if event.payload.get(ALL) else _recompute(spec)
    return [Handler(name=f"feature:{spec.name}", handle=handle, applies_state=True, reads_current=True)]


def _leave(event: Event) -> dict[str, Any]:
    return {"left": "the feature is switched off"}


def _recompute(spec: FeatureSpec) -> Any:
    async def recompute(event: Event) -> dict[str, Any]:
        stored = FeatureValue.objects.of(spec.entity.name, event.entity_id).filter(feature=spec.name)
        if not spec.materialize and not await stored.aexists():
            return {"left": "it has no value yet: it is computed when it is read"}
        # The time is that of the reading: what was committed later is not in the value.
        return await write_of_event(spec, event, datetime.now(UTC))

    return recompute


def _begin_run(spec: FeatureSpec) -> Any:
    def begin_run(event: Event) -> dict[str, Any]:
        """Have all values computed anew, by a run that no worker has begun, and that so reads what there is now."""
        waiting = MaterializationRun.objects.filter(
            feature=spec.name, kind=MaterializationRun.Kind.COMPUTE, state=MaterializationRun.State.QUEUED,
            claims=0, entity_keys=None,
        ).first()  # fmt: skip
        run = waiting or request_run(spec.name)
        enqueue_run(run.pk)
        return {"run": run.pk}

    return begin_run
