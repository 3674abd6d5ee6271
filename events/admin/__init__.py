"""Admin pages of events and of the systems that send webhooks."""

from events.admin import events, webhooks

__all__ = ["events", "webhooks"]
