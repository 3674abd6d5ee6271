"""Compute and store the value that an event asks for, once."""

from datetime import datetime
from typing import Any

from events.event import AxiomEvent
from events.handlers import changed_row
from events.models import Event
from features.compute import run_function
from features.errors import FeatureValueRefused
from features.models import FeatureValue
from features.registry import FeatureSpec
from features.value_types import InvalidFeatureValue
from features.value_writer import put_online, write_values
from features.values import StoredValue


async def write_of_event(spec: FeatureSpec, event: Event, event_timestamp: datetime) -> dict[str, Any]:
    """Store the value of the event's entity as true at a time; return the handler's report.

    Raise FeatureComputeError, and InvalidFeatureValue for a value that cannot be stored, which no retry helps.
    """
    known = await FeatureValue.objects.filter(event=event, feature=spec.name).afirst()
    if known is not None:  # written by a worker that died before it could report it
        await put_online(spec.entity.name, spec.name, {event.entity_id: StoredValue.of_row(known)})
        return {"changed": [changed_row(FeatureValue, known.pk, spec.name)]}
    try:
        value = await run_function(spec, event.entity_id, AxiomEvent.of_row(event))
    except FeatureValueRefused as error:
        raise InvalidFeatureValue(str(error)) from None
    stored = await write_values(
        spec,
        {event.entity_id: value},
        event_timestamp=event_timestamp,
        source=FeatureValue.Source.EVENT,
        event_id=event.pk,
    )
    return {"changed": [changed_row(FeatureValue, stored[event.entity_id].value_id, spec.name)]}
