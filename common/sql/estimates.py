"""How many rows there are, without counting them, and how much space they take."""

import json
from typing import Any

from django.db import connection
from django.db.models import Model, QuerySet


def estimated_count(rows: QuerySet[Any]) -> int:
    """Return the planner's estimate, from the statistics of the last ANALYZE; 0 for a queryset that is empty anyway."""
    if rows.query.is_empty():
        return 0
    return int(json.loads(rows.explain(format="json"))[0]["Plan"]["Plan Rows"])


def approximate_count(rows: QuerySet[Any], *, exact_below: int = 10_000) -> int:
    """Count at most `exact_below` rows; of more, return the planner's estimate."""
    counted = rows.order_by().values("pk")[: exact_below + 1].count()
    return counted if counted <= exact_below else max(counted, estimated_count(rows))


def bytes_of(models: list[type[Model]]) -> dict[str, int]:
    """Return the bytes of each model's table by its name, with its indexes and what is stored beside it."""
    tables = [model._meta.db_table for model in models]
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, pg_total_relation_size(name::regclass) FROM unnest(%s::text[]) AS name", [tables])
        return dict(cursor.fetchall())
