"""Tables of the outbox."""

from events.models.deliveries import WebhookAttempt, WebhookDelivery
from events.models.edits import EventEdit
from events.models.endpoints import WebhookEndpoint
from events.models.events import Event, EventQuerySet, HandlerOutcome
from events.models.hours import EventHour
from events.models.webhooks import WebhookSource

__all__ = [
    "Event",
    "EventEdit",
    "EventHour",
    "EventQuerySet",
    "HandlerOutcome",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookSource",
]
