"""Dry runs: call a feature's function without storing anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import transaction

# A context variable, because a function reads other features through the store, and does not pass the dry run on.
_is_dry_run: ContextVar[bool] = ContextVar("is_dry_run", default=False)


def is_dry_run() -> bool:
    """Return whether values computed here must not be stored, neither online nor offline."""
    return _is_dry_run.get()


@contextmanager
def dry_run() -> Iterator[None]:
    """Store no value within the block, also not of features that a function reads, and roll back its own rows.

    Actions on commit, such as an event on the bus, never run. A call to another server cannot be
    undone.
    """
    token = _is_dry_run.set(True)
    try:
        with transaction.atomic():
            yield
            transaction.set_rollback(True)
    finally:
        _is_dry_run.reset(token)
