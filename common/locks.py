"""Locks that go with their holder."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

_POLL_S = 0.02


@contextmanager
def held(name: str, *, wait_s: float = 0.0) -> Iterator[bool]:
    """Hold the advisory lock of that name for the length of the block; yield False if another has it for `wait_s`.

    PostgreSQL holds it for the connection, so it goes with the process, however that dies.
    """
    give_up_at = time.monotonic() + wait_s
    while not (is_held := _ask("pg_try_advisory_lock", name)) and time.monotonic() < give_up_at:
        time.sleep(_POLL_S)
    try:
        yield is_held
    finally:
        if is_held:
            _ask("pg_advisory_unlock", name)


def is_held(name: str) -> bool:
    """Return whether anybody has the lock now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND (classid::bigint << 32 | objid::bigint) = hashtextextended(%s, 0))",
            [name],
        )
        return bool(cursor.fetchone()[0])


def _ask(function: str, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [name])
        return bool(cursor.fetchone()[0])
