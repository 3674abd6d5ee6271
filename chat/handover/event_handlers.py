"""What follows where the ticket of a conversation is opened or closed: the user's tickets are read anew."""

from collections.abc import Sequence
from typing import Any

from chat.handover.steps import CLOSED, ESCALATED, HANDED_BACK
from events.event import AxiomEvent
from events.handlers import Handler, register_handlers
from events.models import Event
from features.compute import run_function
from features.models import FeatureValue
from features.registry import features
from features.serving import operator_settings
from features.value_writer import write_values

SUPPORT_HISTORY = "support_history"
"""The feature that reads the tickets, as `chat.definitions` declares it."""
_OF_TICKETS = (ESCALATED, HANDED_BACK, CLOSED)


def register() -> None:
    register_handlers(handlers)


def handlers(event: Event) -> Sequence[Handler]:
    if event.event_type in _OF_TICKETS and event.payload.get("ticket") and SUPPORT_HISTORY in features:
        return [Handler(name=f"feature:{SUPPORT_HISTORY}", handle=compute_history)]
    return []


async def compute_history(event: Event) -> dict[str, Any]:
    """Compute the user's support history with the new ticket, instead of at its next refresh."""
    spec = features[SUPPORT_HISTORY]
    row = (await operator_settings.rows()).get(spec.name, {})
    if not row.get("is_enabled", True):
        return {"computed": False}
    value = await run_function(spec, event.entity_id, AxiomEvent.of_row(event))
    await write_values(
        spec, {event.entity_id: value}, event_timestamp=event.occurred_at, source=FeatureValue.Source.EVENT,
        event_id=event.pk,
    )  # fmt: skip
    return {"computed": True}
