"""Handle events: compute the features that have them as trigger, and remember the entities that they name."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from events.handlers import Handler
from events.models import Event
from features.event_values import write_of_event
from features.models import KnownEntity
from features.registry import FeatureSpec, features
from features.serving import operator_settings


def handlers(event: Event) -> list[Handler]:
    """Return a handler for each feature that has the event as its trigger and is switched on."""
    triggered = [spec for spec in features.values() if spec.trigger == event.event_type]
    if not triggered:
        return []
    rows = operator_settings.rows_now()
    return [_handler(spec) for spec in triggered if rows.get(spec.name, {}).get("is_enabled", True)]


def is_trigger(event_type: str) -> bool:
    """Return whether a declared feature has events of this type as its trigger."""
    return any(spec.trigger == event_type for spec in features.values())


def _handler(spec: FeatureSpec) -> Handler:
    async def compute(event: Event) -> dict[str, Any]:
        return await write_of_event(spec, event, event.occurred_at)

    return Handler(name=f"feature:{spec.name}", handle=compute)


def remember_entities(rows: Sequence[Event], **kwargs: Any) -> None:
    """Remember the entities named by the `entity_id` of events that trigger features."""
    keys = defaultdict[str, set[str]](set)
    for row in rows:
        for spec in features.values():
            if spec.trigger == row.event_type:
                keys[spec.entity.name].add(row.entity_id)
    for name, entity_keys in keys.items():
        KnownEntity.objects.touch(name, sorted(entity_keys))
