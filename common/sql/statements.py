"""Statements that PostgreSQL plans once per connection, not once per use.

Ranking 100,000 chunks takes 2 ms to plan and 9 ms to run.
"""

from django.db import connection
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.backends.utils import CursorWrapper


def planned_cursor() -> CursorWrapper:
    """Return a cursor whose statements are prepared after `prepare_threshold` uses on a connection.

    The plan is then the same for all parameters, so do not use it for a statement whose best plan depends on a value.
    The server binds the parameters, so each needs a context that determines its type, or a cast.
    """
    if connection.queries_logged:
        return connection.cursor()  # Django's log cannot read what was prepared
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        cursor = ServerBindingCursor(connection.connection)  # type: ignore[call-arg]
    return connection._prepare_cursor(cursor)  # type: ignore[attr-defined]
