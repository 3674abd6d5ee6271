"""The page that tells what takes place, how it grows, and what is removed next."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.html import format_html

from common.admin.html import bar, duration, one_line, table
from common.admin.permissions import needs
from common.admin.site import render, site
from common.redis_memory import read_memory
from common.retention import Retained, kinds
from common.sql.estimates import approximate_count, bytes_of, estimated_count

_WEEK = timedelta(days=7)
_SMALL = 10_000
"""Rows of a table that is counted, not estimated."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One kind of rows. Those of a small table are counted, those of a large one are the planner's estimates."""

    kind: Retained
    rows: int
    size: int
    """In bytes, with the tables whose rows go with them."""
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


@needs("admin.view_logentry")
def show(request: HttpRequest) -> HttpResponse:
    """Show each kind of rows that has a retention, the largest first."""
    stored = sorted(stored_rows(timezone.now()), key=lambda row: -row.size)
    redis = read_memory()
    page = {
        "title": "Storage",
        "redis_problem": redis.problem if redis else "Redis does not answer.",
        "figures": [
            {"name": "stored", "value": filesizeformat(sum(row.size for row in stored)), "note": "indexes included"},
            {"name": "grows by", "value": filesizeformat(sum(row.growth for row in stored)), "note": "a day"},
            {"name": "Redis", "value": redis.shown if redis else "–", "note": redis.policy if redis else ""},
            {"name": "past their time", "value": f"{sum(row.past for row in stored):,}", "note": "rows, some in use"},
        ],
        "table": table(_HEADINGS, [_line(row, max(row.size for row in stored)) for row in stored]),
    }
    return render(request, "admin/storage.html", site.each_context(request) | page)


def stored_rows(now: datetime) -> list[Stored]:
    """Return what is stored of each kind."""
    models: list[type[Model]] = [model for kind in kinds for model in (kind.model, *kind.with_it)]
    sizes = bytes_of(models)
    return [_stored(kind, now, sizes) for kind in kinds]


def _stored(kind: Retained, now: datetime, sizes: dict[str, int]) -> Stored:
    rows: QuerySet[Any] = kind.model._default_manager.order_by()
    total = approximate_count(rows, exact_below=_SMALL)
    # A condition without an index reads the whole table; before its first ANALYZE the planner can only guess.
    count = QuerySet.count if total <= _SMALL else estimated_count
    return Stored(
        kind=kind,
        rows=total,
        size=sum(sizes[model._meta.db_table] for model in (kind.model, *kind.with_it)),
        added_a_day=round(count(rows.filter(**{f"{kind.time}__gte": now - _WEEK})) / _WEEK.days),
        past=count(kind.past(now)),
        past_soon=count(kind.past(now + _WEEK)),
    )


_HEADINGS = ("", "Rows", "Place", "New a day", "Kept for", "Past that", "In a week")


def _line(row: Stored, largest: int) -> tuple[Any, ...]:
    kept_for = row.kind.kept_for
    return (
        one_line(format_html('{}<br><small class="fb-muted">{}_DAYS</small>', row.kind.name, row.kind.setting)),
        one_line(f"{row.rows:,}"),
        bar(row.size, largest, filesizeformat(row.size)),
        one_line(f"{row.added_a_day:,}, {filesizeformat(row.growth)}" if row.added_a_day else "–"),
        duration(kept_for) if kept_for else one_line("for ever"),
        one_line(f"{row.past:,}"),
        one_line(f"{row.past_soon:,}"),
    )
