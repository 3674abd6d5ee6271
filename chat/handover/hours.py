"""When somebody is there: spans of weekdays in a time zone, but for days on which nobody is."""

from collections.abc import Collection, Iterable
from datetime import date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo


class Span(Protocol):
    weekday: int
    """0 is Monday."""
    opens: time
    closes: time
    """00:00 is the end of the day."""


_ALL_DAY = (time.min, time.min)
_DAYS_AHEAD = 60


def next_opening(
    spans: Iterable[Span], zone: ZoneInfo, now: datetime, closed: Collection[date] = ()
) -> datetime | None:
    """Return when somebody is there next, in the zone; None if somebody is now.

    Without any span somebody always is, but for closed days. Where all days of the next two months are closed, it is
    the end of these.
    """
    hours: dict[int, list[tuple[time, time]]] = {}
    for span in spans:
        hours.setdefault(span.weekday, []).append((span.opens, span.closes))
    local = now.astimezone(zone)
    for days in range(_DAYS_AHEAD):
        day = local.date() + timedelta(days=days)
        if day in closed:
            continue
        openings = []
        for opens_at, closes_at in hours.get(day.weekday(), []) if hours else [_ALL_DAY]:
            opens, closes = datetime.combine(day, opens_at, zone), datetime.combine(day, closes_at, zone)
            if closes_at == time.min:
                closes = datetime.combine(day + timedelta(days=1), time.min, zone)
            if opens <= local < closes:
                return None
            if opens > local:
                openings.append(opens)
        if openings:
            return min(openings)
    return datetime.combine(local.date() + timedelta(days=_DAYS_AHEAD), time.min, zone)
