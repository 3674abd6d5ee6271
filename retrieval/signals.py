"""Signals of retrieval, for higher apps."""

from django.dispatch import Signal

searched = Signal()
"""Sent with `record`, a SearchRecord, after each search, also one that a retriever answered from its cache."""

retrieved = Signal()
"""Sent with `record`, a RetrieverCall, after each call of a retriever."""
