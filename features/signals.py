"""What happened in the feature store, for the rooms above it."""

from django.dispatch import Signal

features_read = Signal()
"""Sent with `values`, a list of FeatureRead, after each read through the store."""

swept = Signal()
"""Sent every few seconds by the sweep, for what a crash or an outage left in the rooms above."""
