"""When somebody is there: spans of weekdays in a time zone."""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo


class Span(Protocol):
    weekday: int
    """0 is Monday."""
    opens: time
    closes: time
    """00:00 is the end of the day."""


def next_opening(spans: Iterable[Span], zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return when somebody is there next, in the zone; None if somebody is now, as always without any span."""
    spans = list(spans)
    if not spans:
        return None
    local = now.astimezone(zone)
    openings = []
    for days in range(8):
        day = local.date() + timedelta(days=days)
        for span in spans:
            if span.weekday != day.weekday():
                continue
            opens, closes = datetime.combine(day, span.opens, zone), datetime.combine(day, span.closes, zone)
            if span.closes == time.min:
                closes = datetime.combine(day + timedelta(days=1), time.min, zone)
            if opens <= local < closes:
                return None
            if opens > local:
                openings.append(opens)
    return min(openings)
