"""How long events are kept."""

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from common.retention import Bounded, Retained
from events.models import (
    Event,
    EventEdit,
    EventHour,
    HandlerOutcome,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSource,
)
from events.models.events import SETTLED
from events.signals import pre_prune


def _removable(events: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    """Return the processed events whose deliveries have ended; those that wait to be processed stay."""
    undelivered = WebhookDelivery.objects.filter(event=OuterRef("pk"), state__in=("pending", "failed"))
    return events.filter(~Exists(undelivered), state__in=[*SETTLED, Event.State.DEAD])


def _remove(events: QuerySet[Any]) -> None:
    pre_prune.send(sender=Event, events=events)
    events.delete()


_WITH_IT = (HandlerOutcome, WebhookDelivery, WebhookAttempt, EventEdit)

EVENTS = Retained(
    name="events", model=Event, which=~Q(state=Event.State.DEAD), setting="FABRA_EVENT_RETENTION", time="received_at",
    is_indexed=True, removable=_removable, remove=_remove, with_it=_WITH_IT,
)  # fmt: skip
"""Their webhook deliveries go with them; the values and versions that they made stay.

An app can note of what these are, on `pre_prune`."""
DEAD_EVENTS = Retained(
    name="dead events", model=Event, which=Q(state=Event.State.DEAD), setting="FABRA_DEAD_EVENT_RETENTION",
    time="received_at", grows_with_key=True, removable=_removable, remove=_remove, with_it=_WITH_IT,
)  # fmt: skip
"""They are few, and an index of their state has them in the order of their keys."""

KINDS = (EVENTS, DEAD_EVENTS)
STAYS = (
    Bounded(name="sums of the events of an hour", models=(EventHour,), reason="of the last 31 days"),
    Bounded(name="webhook sources and endpoints", models=(WebhookSource, WebhookEndpoint),
            reason="set up by operators"),
)  # fmt: skip
