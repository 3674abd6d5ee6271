"""The admin of the feature store."""

from features.admin import definitions, events, runs, schedule, values, webhooks

__all__ = ["definitions", "events", "runs", "schedule", "values", "webhooks"]
