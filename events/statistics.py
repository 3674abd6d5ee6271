"""Event statistics: counts, lag, retries and failures, aggregated in PostgreSQL."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

from events.hours import HOUR, hours_between, lag_of, lags_of
from events.models import EventHour


@dataclass(frozen=True, kw_only=True)
class Range:
    """A period up to now, and the length of the steps that the charts show."""

    name: str
    length: timedelta
    step: timedelta


RANGES = {
    "15m": Range(name="15 minutes", length=timedelta(minutes=15), step=timedelta(seconds=15)),
    "1h": Range(name="hour", length=timedelta(hours=1), step=timedelta(minutes=1)),
    "6h": Range(name="6 hours", length=timedelta(hours=6), step=timedelta(minutes=6)),
    "24h": Range(name="24 hours", length=timedelta(hours=24), step=timedelta(minutes=30)),
    "7d": Range(name="7 days", length=timedelta(days=7), step=timedelta(hours=3)),
    "30d": Range(name="30 days", length=timedelta(days=30), step=timedelta(hours=12)),
}


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The outcomes of the events that were received in one step of a range, or in the whole range."""

    since: datetime
    done: int = 0
    superseded: int = 0
    unhandled: int = 0
    """No handler takes events of their type."""
    waiting: int = 0
    """Not yet processed, being processed, or to be tried again."""
    dead: int = 0
    retries: int = 0
    lag_p50_s: float | None = None
    """From an event's publication to its state being in effect; None if no event was applied."""
    lag_p95_s: float | None = None

    @property
    def total(self) -> int:
        return self.done + self.superseded + self.unhandled + self.waiting + self.dead


_SQL = """
SELECT date_bin(%(step)s::interval, received_at, %(since)s) AS step_start,
    count(*) FILTER (WHERE state = 'done'),
    count(*) FILTER (WHERE state = 'superseded'),
    count(*) FILTER (WHERE state = 'unhandled'),
    count(*) FILTER (WHERE state IN ('received', 'running', 'retrying')),
    count(*) FILTER (WHERE state = 'dead'),
    coalesce(sum(greatest(attempts - 1, 0)), 0),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP
        (ORDER BY extract(epoch FROM applied_at - coalesce(published_at, received_at)))
        FILTER (WHERE applied_at IS NOT NULL)
FROM events_event
WHERE received_at >= %(since)s AND received_at < %(until)s
GROUP BY GROUPING SETS ((step_start), ())
"""


def flow_of(span: Range, now: datetime | None = None) -> tuple[Flow, list[Flow]]:
    """Return the flow of the whole range, and of each step, oldest first."""
    # The range ends with the current step, so that steps begin at whole minutes or hours.
    step_s = span.step.total_seconds()
    now = now or timezone.now()
    until = datetime.fromtimestamp(math.ceil(now.timestamp() / step_s) * step_s, UTC)
    since = until - span.length
    if span.step >= HOUR:
        return _flow_of_hours(span, since, until, now)
    with connection.cursor() as cursor:
        cursor.execute(_SQL, {"step": f"{span.step.total_seconds()} seconds", "since": since, "until": until})
        found = {row[0]: _flow(row[0] or since, row) for row in cursor.fetchall()}
    starts = [since + number * span.step for number in range(span.length // span.step)]
    return found[None], [found.get(start) or Flow(since=start) for start in starts]


def _flow_of_hours(span: Range, since: datetime, until: datetime, now: datetime) -> tuple[Flow, list[Flow]]:
    """Return the same for a long range, from the sums of its hours; the lags are at most 2.5 % off."""
    starts = [since + number * span.step for number in range(span.length // span.step)]
    by_step: dict[datetime, list[EventHour]] = {start: [] for start in starts}
    hours = hours_between(since, until, now)
    for row in hours:
        by_step[starts[(row.hour - since) // span.step]].append(row)
    return _sum(since, hours), [_sum(start, rows) for start, rows in by_step.items()]


def _sum(since: datetime, rows: Sequence[EventHour]) -> Flow:
    lags = sum((lags_of(row) for row in rows), Counter[int]())
    counts = {name: sum(getattr(row, name) for row in rows) for name in _SUMMED}
    return Flow(since=since, lag_p50_s=lag_of(lags, 0.5), lag_p95_s=lag_of(lags, 0.95), **counts)


_SUMMED = ("done", "superseded", "unhandled", "waiting", "dead", "retries")


def _flow(since: datetime, row: tuple) -> Flow:  # type: ignore[type-arg]
    p50, p95 = row[7] or (None, None)
    return Flow(
        since=since, done=row[1], superseded=row[2], unhandled=row[3], waiting=row[4], dead=row[5], retries=row[6],
        lag_p50_s=p50, lag_p95_s=p95,
    )  # fmt: skip
