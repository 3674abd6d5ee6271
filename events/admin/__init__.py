"""Admin pages of events, and of the systems that send webhooks or get them."""

from events.admin import deliveries, endpoints, events, webhooks

__all__ = ["deliveries", "endpoints", "events", "webhooks"]
