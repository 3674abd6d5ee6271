"""The admin pages of the feature store."""

from features.admin import definitions, feature_definitions, runs, schedule, values

__all__ = ["definitions", "feature_definitions", "runs", "schedule", "values"]
