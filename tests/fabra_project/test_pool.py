"""The web process's pool lives through a restart of PostgreSQL."""

from collections.abc import Iterator

import pytest
from django.db import connection

from fabra_project.postgresql.base import DatabaseWrapper

pytestmark = pytest.mark.django_db


@pytest.fixture
def pooled() -> Iterator[DatabaseWrapper]:
    options = connection.settings_dict["OPTIONS"] | {"pool": {"min_size": 2, "max_size": 2, "timeout": 10}}
    given = connection.settings_dict | {"OPTIONS": options, "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}
    wrapper = DatabaseWrapper(given, connection.alias)
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
