"""Dry runs: a function is tried, and nothing of it is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import transaction

_is_dry: ContextVar[bool] = ContextVar("is_dry", default=False)


def is_dry() -> bool:
    """Whether what is computed here must reach neither store."""
    return _is_dry.get()


@contextmanager
def dry_run() -> Iterator[None]:
    """Write no value to either store, also of the features that a function reads, and roll its own rows back.

    What waits for the commit, such as an event on the bus, never leaves. A call to another server cannot be
    taken back.
    """
    token = _is_dry.set(True)
    try:
        with transaction.atomic():
            yield
            transaction.set_rollback(True)
    finally:
        _is_dry.reset(token)
