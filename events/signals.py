"""Signals of the outbox, for the apps that depend on it."""

from django.dispatch import Signal

recorded = Signal()
"""Sent with `rows`, a list of new Events, in the transaction that writes them."""

pre_prune = Signal()
"""Sent with `events`, a queryset, in the transaction that removes them by their age, before it does."""
