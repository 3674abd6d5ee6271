"""Write rows of several tables in one statement: one round trip, all of them or none."""

from typing import Any

from django.db import connection
from django.db.models import Model

Statement = tuple[str, list[Any]]


def reserve_ids(*models: type[Model]) -> list[int]:
    """Return the next id of each table, so that rows can name each other before they are written."""
    calls = ", ".join(["nextval(pg_get_serial_sequence(%s, 'id'))"] * len(models))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {calls}", [model._meta.db_table for model in models])
        return list(cursor.fetchone())


def insert(row: Model) -> Statement:
    """Return the INSERT of an unsaved row; without a key it gets the table's next. No signal is sent."""
    fields = [field for field in row._meta.concrete_fields if row.pk is not None or not field.primary_key]
    values = [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
    marks = [
        field.get_placeholder(value, None, connection) if hasattr(field, "get_placeholder") else "%s"
        for field, value in zip(fields, values, strict=True)
    ]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    return f'INSERT INTO "{row._meta.db_table}" ({columns}) VALUES ({", ".join(marks)})', values


def run_together(*statements: Statement) -> None:
    """Run writes as one statement, each blind to what the others write; foreign keys are checked at the commit."""
    *first, last = [sql for sql, _ in statements]
    steps = ", ".join(f"step{number} AS ({sql})" for number, sql in enumerate(first))
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {steps} {last}" if first else last, [value for _, values in statements for value in values]
        )
