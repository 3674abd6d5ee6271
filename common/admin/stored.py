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
class _Rows:
    """Rows of a kind. Those of a small table are counted, those of a large one are the planner's estimates."""

    rows: int
    """The rows of the first table, where they have several."""
    size: int
    """In bytes, with the tables whose rows go with them; of a table with several kinds, their part by rows."""
    added_a_day: int | None
    """The mean of the last seven days; None where no column tells when they were written."""

    @property
    def growth(self) -> float:
        """Bytes a day."""
        return self.size / self.rows * self.added_a_day if self.rows and self.added_a_day else 0.0


@dataclass(frozen=True, kw_only=True)
class Stored(_Rows):
    """Rows that go by their age."""

    kind: Retained
    state: PrunedKind
    past: int
    """Rows that are older than they are kept."""
    past_soon: int
    """The same, a week from now."""


@dataclass(frozen=True, kw_only=True)
class Stays(_Rows):
    """Tables whose rows are not removed by their age."""

    tables: Bounded


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
    wanted = _written_since(kind.written, now)
    if kind.kept_for is not None:
        wanted["past"] = Q(**{f"{kind.time}__lt": kind.since(now)})
        wanted["past_soon"] = Q(**{f"{kind.time}__lt": kind.since(now + _WEEK)})
    counts = _counts(kind.rows, wanted, total, small)
    return Stored(
        kind=kind, state=state, rows=total, size=size, added_a_day=_a_day(counts), past=counts.get("past", 0),
        past_soon=counts.get("past_soon", 0),
    )  # fmt: skip


def _written_since(column: str | None, now: datetime) -> dict[str, Q]:
    """Return the condition that rows are of the last week, if a column tells it."""
    return {"recent": Q(**{f"{column}__gte": now - _WEEK})} if column else {}


def _a_day(counts: dict[str, int]) -> int | None:
    return round(counts["recent"] / _WEEK.days) if "recent" in counts else None


def _counts(rows: QuerySet[Any], wanted: dict[str, Q], total: int, small: int) -> dict[str, int]:
    """Return how many of the rows each condition has."""
    if total > small:  # a condition without an index would read the whole table
        return {name: estimated_count(rows.filter(condition)) for name, condition in wanted.items()}
    if not total or not wanted:  # before a table's first ANALYZE the planner can only guess
        return dict.fromkeys(wanted, 0)
    return rows.aggregate(**{name: Count("pk", filter=condition) for name, condition in wanted.items()})


def staying_rows(now: datetime, small: int = SMALL) -> list[Stays]:
    """Return what is stored in the tables that stay, the largest first."""
    sizes = bytes_of([model for tables in bounded for model in tables.models])
    found = []
    for tables in bounded:
        total, size = _count(tables.rows, small), sum(sizes[model._meta.db_table] for model in tables.models)
        if tables.which is not None:
            size = _part(size, total, _count(tables.models[0]._default_manager.order_by(), small))
        added = _a_day(_counts(tables.rows, _written_since(tables.created, now), total, small))
        found.append(Stays(tables=tables, rows=total, size=size, added_a_day=added))
    return sorted(found, key=lambda row: -row.size)
