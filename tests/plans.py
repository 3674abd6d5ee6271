"""What PostgreSQL plans for tables as small as a test's."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

_FOR_SMALL_TABLES = ("seqscan", "bitmapscan", "sort", "incremental_sort")


@contextmanager
def indexes_give_the_order() -> Iterator[None]:
    """Let no plan read a whole table or sort its rows, which is the cheapest way for a few, where an index does.

    What is cheapest for a few rows changes with the statistics, so with when they were gathered last.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for way in _FOR_SMALL_TABLES:
            cursor.execute(f"SET LOCAL enable_{way} = off")
        yield
        for way in _FOR_SMALL_TABLES:
            cursor.execute(f"SET LOCAL enable_{way} = on")
