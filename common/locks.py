"""PostgreSQL advisory locks, which are released when their holder's connection ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.models import BooleanField, Func

_POLL_S = 0.02


@contextmanager
def held(name: str, *, wait_s: float = 0.0, until: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Hold the advisory lock `name` during the block; yield False if another connection keeps it for `wait_s`.

    Once `until()` is true it waits no longer.

    The lock belongs to the connection, so PostgreSQL releases it however the process dies.
    """
    give_up_at = time.monotonic() + wait_s
    while not (is_held := _call("pg_try_advisory_lock", name)) and time.monotonic() < give_up_at and not until():
        time.sleep(_POLL_S)
    try:
        yield is_held
    finally:
        if is_held:
            _call("pg_advisory_unlock", name)


def is_held(name: str) -> bool:
    """Return whether any connection holds the lock now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND (classid::bigint << 32 | objid::bigint) = hashtextextended(%s, 0))",
            [name],
        )
        return bool(cursor.fetchone()[0])


def try_lock_in_transaction(name: str) -> bool:
    """Take the advisory lock `name` until the transaction ends; return False if another connection has it."""
    return _call("pg_try_advisory_xact_lock", name)


def lock_in_transaction(name: str) -> None:
    """Wait for the advisory lock `name`, and hold it until the transaction ends."""
    _call("pg_advisory_xact_lock", name)


def share_in_transaction(name: str) -> None:
    """Hold the lock in shared mode until the transaction ends; `held_alone` waits for every such holder."""
    _call("pg_advisory_xact_lock_shared", name)


@contextmanager
def held_alone(name: str) -> Iterator[None]:
    """Hold the lock exclusively during the block, after waiting for every shared or exclusive holder."""
    _call("pg_advisory_lock", name)
    try:
        yield
    finally:
        _call("pg_advisory_unlock", name)


@contextmanager
def living(lock_class: int) -> Iterator[int]:
    """Hold a lock that shows that this connection is alive, during the block; yield the connection's number.

    Others see by `Lives` whether the process with that number has died. The number is the PID of the PostgreSQL
    backend.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        number = int(cursor.fetchone()[0])
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", [lock_class, number])
    try:
        yield number
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [lock_class, number])


class Lives(Func):
    """Whether the connection with this number, a column, holds its lock of `living` in the class `lock_class`."""

    template = (
        "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted "
        "AND classid = %(lock_class)s AND objid = %(expressions)s)"
    )
    output_field = BooleanField()


def _call(function: str, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [name])
        return bool(cursor.fetchone()[0])
