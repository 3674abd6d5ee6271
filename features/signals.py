"""What happened in the feature store, for the apps above it."""

from django.dispatch import Signal

features_read = Signal()
"""Sent with `values`, a list of FeatureRead, after each read through the store."""
