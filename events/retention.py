"""How long events are kept."""

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from common.retention import Retained
from events.models import Event, HandlerOutcome, WebhookAttempt, WebhookDelivery
from events.models.events import SETTLED


def _removable(events: QuerySet[Any]) -> QuerySet[Any]:
    """Return the processed events whose deliveries have ended; dead ones stay visible."""
    undelivered = WebhookDelivery.objects.filter(event=OuterRef("pk"), state__in=("pending", "failed"))
    return events.filter(~Exists(undelivered), state__in=SETTLED)


EVENTS = Retained(
    name="events", model=Event, setting="FABRA_EVENT_RETENTION", time="received_at", is_indexed=True,
    removable=_removable, with_it=(HandlerOutcome, WebhookDelivery, WebhookAttempt),
)  # fmt: skip
"""Their webhook deliveries go with them; the values and versions that they made stay."""
