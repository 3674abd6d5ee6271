"""Signals of the feature store, for higher apps."""

from django.dispatch import Signal

features_read = Signal()
"""Sent with `values`, a list of FeatureRead, after each read through the store."""
