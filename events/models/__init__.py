"""Tables of the outbox."""

from events.models.events import Event, EventEdit, EventQuerySet, HandlerOutcome
from events.models.webhooks import WebhookSource

__all__ = ["Event", "EventEdit", "EventQuerySet", "HandlerOutcome", "WebhookSource"]
