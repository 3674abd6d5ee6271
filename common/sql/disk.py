"""How full the disk of the database is, where it is this machine's."""

import os
import shutil
from dataclasses import dataclass

from django.db import connection

_LOCAL = ("", "localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Disk:
    """In bytes."""

    free: int
    total: int

    @property
    def is_nearly_full(self) -> bool:
        return self.free < self.total / 10


def read_disk() -> Disk | None:
    """Return the disk of the database's files; None where the server is another machine's, or does not tell."""
    host = str(connection.get_connection_params().get("host") or "")
    if host not in _LOCAL and not host.startswith("/"):
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END"
        )
        folder = cursor.fetchone()[0]
    # A server in a container tells a path that is not this machine's.
    if not folder or not os.path.exists(folder):
        return None
    usage = shutil.disk_usage(folder)
    return Disk(free=usage.free, total=usage.total)
