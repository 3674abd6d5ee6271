"""Django's PostgreSQL, whose pool survives a restart of the server."""

from select import POLLIN, poll
from typing import Any

from django.db.backends.postgresql import base
from psycopg import OperationalError
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
    """Hands out no pooled connection that the server has closed: each would fail one request.

    `CONN_HEALTH_CHECKS` would ask the server each time; whether an idle connection has something to read, which is
    the server's goodbye, costs no round trip.
    """

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        while _is_dead(connection := super().get_new_connection(conn_params)):
            self.pool.putconn(connection)  # which replaces it
        return connection


def _is_dead(connection: Any) -> bool:
    try:
        waiting = poll()  # select() knows no descriptor above 1023
        waiting.register(connection.fileno(), POLLIN)
        if waiting.poll(0):
            ConnectionPool.check_connection(connection)  # it may be a notice only
    except OperationalError:
        return True
    return False
