"""What became of the events of each hour: kept as rows for past hours, counted for the others.

A kept hour is right as long as its events are as they were. It is counted again, at once by a read, while an event of
it waits, where others are dead than before, or where one was put back into the queue; and by the next `keep_hours`,
where the events are others: a late commit, an erasure; in an hour that is long past, within a day. What is pruned stays
counted.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connection
from django.utils import timezone

from events.models import EventHour

HOUR = timedelta(hours=1)
_KEPT = timedelta(days=31)
"""A little more than the longest range that is drawn."""
_COMMITTED_AFTER = timedelta(minutes=5)
"""An hour that ended so long ago is kept."""
_STEPS = 20
"""The steps of a lag in each factor of e: the middle of one is at most 2.5 % off."""
_FIELDS = ("events", "done", "superseded", "unhandled", "waiting", "dead", "retries", "all_ids", "dead_ids")

_COUNT = f"""
SELECT given.hour,
    floor(ln(greatest(extract(epoch FROM applied_at - coalesce(published_at, received_at)), 0.0005)) * {_STEPS})::int
        AS step,
    count(*),
    count(*) FILTER (WHERE state = 'done'),
    count(*) FILTER (WHERE state = 'superseded'),
    count(*) FILTER (WHERE state = 'unhandled'),
    count(*) FILTER (WHERE state IN ('received', 'running', 'retrying')),
    count(*) FILTER (WHERE state = 'dead'),
    sum(greatest(attempts - 1, 0)),
    sum(id),
    coalesce(sum(id) FILTER (WHERE state = 'dead'), 0)
FROM unnest(%s::timestamptz[]) AS given(hour)
JOIN events_event ON received_at >= given.hour AND received_at < given.hour + interval '1 hour'
GROUP BY 1, 2
"""  # noqa: S608 (a constant)

# Each half has an index that holds little else.
_OPEN = """
SELECT hour, bool_or(waits), coalesce(sum(id) FILTER (WHERE NOT waits), 0)
FROM (
    SELECT date_trunc('hour', received_at, 'UTC') AS hour, true AS waits, id FROM events_event
    WHERE state IN ('received', 'running', 'retrying') AND received_at >= %s
    UNION ALL
    SELECT date_trunc('hour', received_at, 'UTC'), false, id FROM events_event
    WHERE state = 'dead' AND received_at >= %s
) AS open
GROUP BY hour
"""

_IDS = """
SELECT given.hour, sum(id)
FROM unnest(%s::timestamptz[]) AS given(hour)
JOIN events_event ON received_at >= given.hour AND received_at < given.hour + interval '1 hour'
GROUP BY 1
"""

_RECENT = timedelta(hours=6)
"""What is checked each time: there events may still be committed late, or arrive by a clock that is set back."""
_TURNS, _TURN_S = 124, 600
"""So many turns of keep_hours, one each ten minutes, check all other hours once, six or seven at a time."""


def hours_between(since: datetime, until: datetime, now: datetime) -> list[EventHour]:
    """Return what became of the events of each hour; both ends are whole hours."""
    kept = {row.hour: row for row in EventHour.objects.filter(hour__gte=since, hour__lt=until)}
    is_open, pruned_before = _open_since(since), _pruned_before(now)
    right = [row for row in kept.values() if row.hour < pruned_before or is_open.agrees(row)]
    hours = {since + number * HOUR for number in range((until - since) // HOUR)}
    return [*right, *_counted(hours - {row.hour for row in right})]


def keep_hours(now: datetime | None = None, *, checks_all: bool = False) -> int:
    """Count the past hours that are not kept yet, or are not right any more; return how many these were.

    The events of the last hours are read each time, those of the others once a day, a few hours at a time: an hour that
    is kept changes by what is requeued, waits or is dead, which is known without them.
    """
    now = now or timezone.now()
    until = (now - _COMMITTED_AFTER).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    since, pruned_before = until - _KEPT, _pruned_before(now)
    EventHour.objects.filter(hour__lt=since).delete()
    hours = {since + number * HOUR for number in range(_KEPT // HOUR)}
    checked = hours if checks_all else {hour for hour in hours if hour >= until - _RECENT or is_turn_of(hour, now)}
    with connection.cursor() as cursor:
        cursor.execute(_IDS, [sorted(checked)])
        ids = dict(cursor.fetchall())
    is_open = _open_since(since)
    right = {
        row.hour
        for row in EventHour.objects.filter(hour__gte=since)
        if row.hour < pruned_before
        or (is_open.agrees(row) and (row.hour not in checked or row.all_ids == ids.get(row.hour, 0)))
    }
    wrong = hours - right
    EventHour.objects.bulk_create(
        _counted(wrong), update_conflicts=True, unique_fields=["hour"], update_fields=[*_FIELDS, "lags"]
    )
    return len(wrong)


def is_turn_of(hour: datetime, now: datetime) -> bool:
    """Return whether an hour's events are read in the turn of `now`."""
    return int(hour.timestamp() // HOUR.total_seconds()) % _TURNS == int(now.timestamp() // _TURN_S) % _TURNS


def lag_of(lags: Mapping[int, int], share: float) -> float | None:
    """Return the lag in seconds that this share of the events did not exceed; None without events."""
    left = share * sum(lags.values())
    for step, count in sorted(lags.items()):
        left -= count
        if left <= 0:
            return math.exp((step + 0.5) / _STEPS)
    return None


def lags_of(row: EventHour) -> Counter[int]:
    return Counter({int(step): count for step, count in row.lags.items()})


def _counted(hours: Collection[datetime]) -> list[EventHour]:
    if not hours:
        return []
    rows = {hour: EventHour(hour=hour, lags={}, **dict.fromkeys(_FIELDS, 0)) for hour in hours}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [sorted(hours)])
        for hour, step, *counts in cursor.fetchall():
            row = rows[hour]
            for name, count in zip(_FIELDS, counts, strict=True):
                setattr(row, name, getattr(row, name) + count)
            if step is not None:
                row.lags[str(step)] = counts[0]
    return list(rows.values())


class _Open:
    """What waits or is dead now, by hours."""

    def __init__(self, rows: Iterable[tuple[datetime, bool, Decimal]]) -> None:
        self._hours = {hour: (waits, dead_ids) for hour, waits, dead_ids in rows}

    def agrees(self, row: EventHour) -> bool:
        """Return whether nothing waits in the hour, now and when it was counted, and the same events are dead."""
        waits, dead_ids = self._hours.get(row.hour, (False, 0))
        return not waits and not row.waiting and row.dead_ids == dead_ids


def _open_since(since: datetime) -> _Open:
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [since, since])
        return _Open(cursor.fetchall())


def _pruned_before(now: datetime) -> datetime:
    """Return the beginning of what is surely not pruned yet."""
    length: timedelta = settings.FABRA_EVENT_RETENTION
    return now - length if length > timedelta(0) else datetime(1, 1, 1, tzinfo=UTC)
