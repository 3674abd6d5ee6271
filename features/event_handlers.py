"""Handle events: compute the features that have them as trigger, and remember the entities that they name."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from asgiref.sync import async_to_sync

from events.event import AxiomEvent
from events.handlers import Handler, changed_row
from events.models import Event
from features.compute import run_function
from features.errors import FeatureValueRefused
from features.models import FeatureValue, KnownEntity
from features.registry import FeatureSpec, features
from features.serving import operator_settings
from features.value_types import InvalidFeatureValue
from features.value_writer import put_online, write_values
from features.values import StoredValue


def handlers(event: Event) -> list[Handler]:
    """Return a handler for each feature that has the event as its trigger and is switched on."""
    triggered = [spec for spec in features.values() if spec.trigger == event.event_type]
    if not triggered:
        return []
    rows = async_to_sync(operator_settings.rows)()
    return [_handler(spec) for spec in triggered if rows.get(spec.name, {}).get("is_enabled", True)]


def _handler(spec: FeatureSpec) -> Handler:
    async def compute(event: Event) -> dict[str, Any]:
        known = await FeatureValue.objects.filter(event=event, feature=spec.name).afirst()
        if known is not None:  # written by a worker that died before it could report it
            await put_online(spec.entity.name, spec.name, {event.entity_id: StoredValue.of_row(known)})
            return {"changed": [changed_row(FeatureValue, known.pk, spec.name)]}
        try:
            value = await run_function(spec, event.entity_id, AxiomEvent.of_row(event))
        except FeatureValueRefused as error:
            raise InvalidFeatureValue(str(error)) from None  # no retry helps
        stored = await write_values(
            spec,
            {event.entity_id: value},
            event_timestamp=event.occurred_at,
            source=FeatureValue.Source.EVENT,
            event_id=event.pk,
        )
        return {"changed": [changed_row(FeatureValue, stored[event.entity_id].value_id, spec.name)]}

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
