"""What takes place: rows that go by their age, and tables that stay."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model, QuerySet

from common.models import PrunedKind
from common.retention import Bounded, Retained, bounded, kinds
from common.sql.estimates import approximate_count, bytes_of, estimated_count

_WEEK = timedelta(days=7)
_SMALL = 10_000
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


def stored_rows(now: datetime) -> list[Stored]:
    """Return what is stored of each kind, the largest first."""
    states = {state.name: state for state in PrunedKind.objects.all()}
    tables: list[type[Model]] = [model for kind in kinds for model in (kind.model, *kind.with_it)]
    sizes = bytes_of(tables)
    counts = {kind.name: approximate_count(kind.rows, exact_below=_SMALL) for kind in kinds}
    of_table = Counter[type[Model]]()
    for kind in kinds:
        of_table[kind.model] += counts[kind.name]
    found = []
    for kind in kinds:
        whole = sum(sizes[model._meta.db_table] for model in (kind.model, *kind.with_it))
        is_shared = sum(other.model is kind.model for other in kinds) > 1
        part = counts[kind.name] / max(1, of_table[kind.model]) if is_shared else 1
        state = states.get(kind.name, PrunedKind(name=kind.name))
        found.append(_stored(kind, state, now, counts[kind.name], round(whole * part)))
    return sorted(found, key=lambda row: -row.size)


def _stored(kind: Retained, state: PrunedKind, now: datetime, total: int, size: int) -> Stored:
    # A condition without an index reads the whole table; before its first ANALYZE the planner can only guess.
    count = QuerySet.count if total <= _SMALL else estimated_count
    recent: QuerySet[Any] = kind.rows.filter(**{f"{kind.time}__gte": now - _WEEK})
    return Stored(
        kind=kind,
        state=state,
        rows=total,
        size=size,
        added_a_day=round(count(recent) / _WEEK.days),
        past=count(kind.past(now)),
        past_soon=count(kind.past(now + _WEEK)),
    )


def staying_rows() -> list[Stays]:
    """Return what is stored in the tables that stay, the largest first."""
    sizes = bytes_of([model for tables in bounded for model in tables.models])
    found = [
        Stays(
            tables=tables,
            rows=approximate_count(tables.models[0]._default_manager.order_by(), exact_below=_SMALL),
            size=sum(sizes[model._meta.db_table] for model in tables.models),
        )
        for tables in bounded
    ]
    return sorted(found, key=lambda row: -row.size)
