"""PostgreSQL's backend for models and migrations only; connecting raises an error with a clear message."""

import warnings
from typing import NoReturn

from django.db import OperationalError
from django.db.backends.postgresql import base

from fabra_project.no_stack import MESSAGE

# `makemigrations` compares the history of migrations where it can, and need not.
warnings.filterwarnings("ignore", "Got an error checking a consistent migration history", RuntimeWarning)


class DatabaseWrapper(base.DatabaseWrapper):
    """Refuse to connect with OperationalError, for which `makemigrations`, which needs no database, only warns."""

    def connect(self) -> NoReturn:
        raise OperationalError(MESSAGE)
