"""Times that processes write for each other, where clocks differ and may be set.

Leases of a few seconds are written and compared by PostgreSQL's clock alone. Where a process writes its own time, and
another waits until that is past, a clock that is set back would have it wait as long: a time that lies ahead by more
than clocks differ counts as past.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

AHEAD = timedelta(minutes=1)
"""By how much the clocks of two machines may differ."""


def latest_possible(now: datetime | None = None) -> datetime:
    """Return the latest time that what has happened may have; one beyond it was written by a clock that was ahead."""
    return (now or timezone.now()) + settings.FABRA_EVENT_MAX_AHEAD


def is_ahead(field: str, *, now: datetime | None = None) -> Q:
    """Return the condition that something happened at a time that only a wrong clock has written."""
    return Q(**{f"{field}__gt": (now or timezone.now()) + AHEAD})


def is_past(field: str, *, since: timedelta = timedelta(0), now: datetime | None = None) -> Q:
    """Return the condition that something happened so long ago, or at a time that only a wrong clock has written."""
    now = now or timezone.now()
    return Q(**{f"{field}__lt": now - since}) | is_ahead(field, now=now)


def was_within(moment: datetime | None, length: timedelta) -> bool:
    """Return whether something happened in the last `length`; one at a time that a wrong clock has written did not."""
    now = timezone.now()
    return moment is not None and now - length < moment <= now + AHEAD


def is_reached(field: str, *, longest: timedelta, now: datetime | None = None) -> Q:
    """Return the condition that a time until which something waits, at most for `longest`, is reached."""
    now = now or timezone.now()
    return Q(**{f"{field}__lte": now}) | Q(**{f"{field}__gt": now + longest + AHEAD})
