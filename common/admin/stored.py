"""What takes space: rows that go by their age, and tables that stay."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet

from common.models import PrunedKind
from common.retention import Bounded, Retained, bounded, kinds
from common.sql.estimates import approximate_count, bytes_of, estimated_count

_WEEK = timedelta(days=7)
SMALL = 10_000
"""Rows of a table that is counted, not estimated."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One kind of rows. Those of a small table are counted, those of a large one are the planner's estimates."""

    kind: Retained
    state: PrunedKind
    rows: int
    size: int
    """In bytes, with the tables whose rows go with them; of a table with several kinds, their part by rows."""
    added_a_day: int
    """Of the last seven days."""
    past: int
    """Rows that are older than they are kept."""
    past_soon: int
    """The same, a week from now."""

    @property
    def growth(self) -> float:
        """Bytes a day."""
        return self.size / self.rows * self.added_a_day if self.rows else 0.0


@dataclass(frozen=True, kw_only=True)
class Stays:
    """Tables whose rows are not removed by their age."""

    tables: Bounded
    rows: int
    """Of the first table."""
    size: int


def stored_rows(now: datetime, small: int = SMALL) -> list[Stored]:
    """Return what is stored of each kind, the largest first; rows are counted up to `small`, and estimated beyond."""
    states = {state.name: state for state in PrunedKind.objects.all()}
    sizes = bytes_of([model for kind in kinds for model in (kind.model, *kind.with_it)])
    found = []
    for kind in kinds:
        total = _count(kind.rows, small)
        size = sum(sizes[model._meta.db_table] for model in (kind.model, *kind.with_it))
        if kind.which is not None:
            size = _part(size, total, _count(kind.model._default_manager.order_by(), small))
        found.append(_stored(kind, states.get(kind.name, PrunedKind(name=kind.name)), now, total, size, small))
    return sorted(found, key=lambda row: -row.size)


def _count(rows: QuerySet[Any], small: int = SMALL) -> int:
    return approximate_count(rows, exact_below=small)


def _part(size: int, rows: int, of_rows: int) -> int:
    """Return what rows take of a table of that size, with so many rows."""
    return round(size * rows / max(1, rows, of_rows))


def _stored(kind: Retained, state: PrunedKind, now: datetime, total: int, size: int, small: int) -> Stored:
    recent, past, past_soon = _counts(kind, now, total, small)
    return Stored(
        kind=kind, state=state, rows=total, size=size, added_a_day=round(recent / _WEEK.days), past=past,
        past_soon=past_soon,
    )  # fmt: skip


def _counts(kind: Retained, now: datetime, total: int, small: int) -> tuple[int, int, int]:
    """Return how many rows are of the last week, past their time, and past it in a week."""
    wanted = [Q(**{f"{kind.time}__gte": now - _WEEK})]
    if kind.kept_for is not None:
        wanted += [Q(**{f"{kind.time}__lt": kind.since(moment)}) for moment in (now, now + _WEEK)]
    if total > small:  # a condition without an index would read the whole table
        counts = [estimated_count(kind.rows.filter(condition)) for condition in wanted]
    elif total:  # before a table's first ANALYZE the planner can only guess
        counted = {str(number): Count("pk", filter=condition) for number, condition in enumerate(wanted)}
        counts = list(kind.rows.aggregate(**counted).values())
    else:
        counts = []
    recent, past, past_soon = [*counts, 0, 0, 0][:3]
    return recent, past, past_soon


def staying_rows() -> list[Stays]:
    """Return what is stored in the tables that stay, the largest first."""
    sizes = bytes_of([model for tables in bounded for model in tables.models])
    found = []
    for tables in bounded:
        total, size = _count(tables.rows), sum(sizes[model._meta.db_table] for model in tables.models)
        if tables.which is not None:
            size = _part(size, total, _count(tables.models[0]._default_manager.order_by()))
        found.append(Stays(tables=tables, rows=total, size=size))
    return sorted(found, key=lambda row: -row.size)
