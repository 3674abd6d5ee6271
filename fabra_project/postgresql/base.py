"""Django's PostgreSQL backend with a pool that survives a restart of the server."""

from select import POLLIN, poll
from typing import Any

from django.db.backends.postgresql import base
from psycopg import OperationalError
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
    """Return no pooled connection that the server has closed, because each would fail one request.

    `CONN_HEALTH_CHECKS` would query the server each time. Checking whether an idle connection has data to read, which
    is the server's closing message, costs no round trip.
    """

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        while _is_dead(connection := super().get_new_connection(conn_params)):
            self.pool.putconn(connection)  # the pool replaces it
        return connection


def _is_dead(connection: Any) -> bool:
    try:
        poller = poll()  # select() supports no descriptor above 1023
        poller.register(connection.fileno(), POLLIN)
        if poller.poll(0):
            ConnectionPool.check_connection(connection)  # the data may be only a notice
    except OperationalError:
        return True
    return False
