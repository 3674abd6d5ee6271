"""Django's PostgreSQL backend with a pool that survives a restart of the server, and a burst of requests."""

import time
from select import POLLIN, poll
from typing import Any

from django.db.backends.postgresql import base
from psycopg import OperationalError
from psycopg_pool import ConnectionPool, PoolTimeout

_BUSY_S = 60.0
"""How long one waits for a connection where others get theirs."""


class DatabaseWrapper(base.DatabaseWrapper):
    """Return no pooled connection that the server has closed, because each would fail one request.

    `CONN_HEALTH_CHECKS` would query the server each time. Checking whether an idle connection has data to read, which
    is the server's closing message, costs no round trip.
    """

    _given_at: dict[str, float] = {}
    """When each pool of the process last gave a connection."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Return a live connection; raise PoolTimeout.

        The pool's `timeout` is for a server that is down. A pool that still gives connections is only busy: whoever
        waits longer than that queues again, or an answer that its model has given could not be stored.
        """
        patience = time.monotonic() + _BUSY_S
        while True:
            try:
                connection = super().get_new_connection(conn_params)
            except PoolTimeout:
                now = time.monotonic()
                if now > patience or now - self._given_at.get(self.alias, 0.0) > self.pool.timeout:
                    raise
            else:
                if not _is_dead(connection):
                    self._given_at[self.alias] = time.monotonic()
                    return connection
                self.pool.putconn(connection)  # the pool replaces it


def _is_dead(connection: Any) -> bool:
    try:
        poller = poll()  # select() supports no descriptor above 1023
        poller.register(connection.fileno(), POLLIN)
        if poller.poll(0):
            ConnectionPool.check_connection(connection)  # the data may be only a notice
    except OperationalError:
        return True
    return False
