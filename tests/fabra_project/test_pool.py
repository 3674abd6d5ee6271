"""The web process's pool lives through a restart of PostgreSQL, and through a burst of requests."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import OperationalError, connection
from psycopg_pool import PoolTimeout

from fabra_project.postgresql.base import DatabaseWrapper

pytestmark = pytest.mark.django_db


def wrapper_of(size: int, timeout: float) -> DatabaseWrapper:
    options = connection.settings_dict["OPTIONS"] | {"pool": {"min_size": size, "max_size": size, "timeout": timeout}}
    given = connection.settings_dict | {"OPTIONS": options, "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}
    return DatabaseWrapper(given, connection.alias)


@pytest.fixture
def pooled() -> Iterator[DatabaseWrapper]:
    wrapper = wrapper_of(2, 10)
    yield wrapper
    wrapper.close()
    wrapper.close_pool()


def backend_pid(wrapper: DatabaseWrapper) -> int:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    wrapper.close()
    return int(pid)


def test_a_connection_that_the_server_closed_is_not_handed_out(pooled: DatabaseWrapper) -> None:
    before = {backend_pid(pooled) for _ in range(4)}
    with connection.cursor() as cursor:
        for pid in before:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    assert not {backend_pid(pooled) for _ in range(4)} & before


def test_a_connection_that_lives_is_kept(pooled: DatabaseWrapper) -> None:
    assert len({backend_pid(pooled) for _ in range(8)}) <= 2


SHORT_S = 4.0


@pytest.fixture
def single() -> Iterator[None]:
    """Have a pool of one connection, for which one waits shortly."""
    wrapper = wrapper_of(1, SHORT_S)
    wrapper.pool.open(wait=True, timeout=30)
    yield
    wrapper.close_pool()


def query(meanwhile: Callable[[], object] = lambda: None) -> None:
    """Use a connection of the pool while something goes on, as a request in a thread of its own does."""
    wrapper = wrapper_of(1, SHORT_S)
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
            meanwhile()
    finally:
        wrapper.close()


@pytest.mark.usefixtures("single")
def test_whoever_waits_for_a_busy_pool_gets_a_connection_at_last() -> None:
    with ThreadPoolExecutor(8) as threads:
        for used in [threads.submit(query, partial(time.sleep, SHORT_S / 7)) for _ in range(8)]:
            used.result()


@pytest.mark.usefixtures("single")
def test_a_pool_that_gives_no_connection_is_told_after_its_timeout() -> None:
    has_it, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        has_it.set()
        is_over.wait(120)

    with ThreadPoolExecutor(2) as threads:
        hanging = threads.submit(query, hold)
        try:
            assert has_it.wait(60)
            with pytest.raises(OperationalError) as raised:
                threads.submit(query).result()
        finally:
            is_over.set()
        hanging.result()
    assert isinstance(raised.value.__cause__, PoolTimeout)
