"""A disk of PostgreSQL that is full: nothing asks for it, so each process remembers that it met it."""

import time

from psycopg.errors import DiskFull

REMEMBERED_S = 30.0
_met_at = float("-inf")


def note_full_disk(error: BaseException) -> bool:
    """Remember it if the error comes of a full disk; return whether it does."""
    global _met_at
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DiskFull):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        _met_at = time.monotonic()
    return cause is not None


def forget_full_disk() -> None:
    global _met_at
    _met_at = float("-inf")


def was_full(within_s: float = REMEMBERED_S) -> bool:
    """Return whether this process met a full disk in the last seconds."""
    return time.monotonic() < _met_at + within_s
