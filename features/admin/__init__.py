"""The admin of the feature store."""

from features.admin import definitions, events, feature_definitions, runs, schedule, values, webhooks

__all__ = ["definitions", "events", "feature_definitions", "runs", "schedule", "values", "webhooks"]
