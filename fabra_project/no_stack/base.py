"""PostgreSQL as far as models and migrations ask about it; a connection is refused with a sentence."""

from typing import NoReturn

from django.db import OperationalError
from django.db.backends.postgresql import base

from fabra_project.no_stack import MESSAGE


class DatabaseWrapper(base.DatabaseWrapper):
    """Refuses with an error of Django's own kind, at which `makemigrations`, which needs no database, only warns."""

    def connect(self) -> NoReturn:
        raise OperationalError(MESSAGE)
