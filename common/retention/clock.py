"""What time it is, for work that deletes by age: a clock that was set forward would have it delete everything.

Rows are no evidence, for the same clock writes their times. What is known is when the work was last done: a time that
is days later is that of a wrong clock, or of an installation that was switched off. It is doubted, which an operator
sees, until one says that it is right, or until it has gone on as a clock does for a week.
"""

import logging
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from common.clocks import AHEAD
from common.models import ClockReading

logger = logging.getLogger(__name__)

PRUNING = "prune"
_MOST = timedelta(days=7)
"""How long after the last time the next one is believed."""
_BELIEVED_AFTER = timedelta(days=7)


def earlier_now() -> datetime:
    """Return the earlier of this machine's time and PostgreSQL's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return min(timezone.now(), cursor.fetchone()[0])


def trusted_now(now: datetime | None = None) -> datetime | None:
    """Return the time, or None while it is doubted; `now` is what the clocks say, if it was read already."""
    now = now or earlier_now()
    with transaction.atomic():
        row, is_new = ClockReading.objects.select_for_update().get_or_create(pk=PRUNING, defaults={"read_at": now})
        if is_new or now - row.read_at <= _MOST or _has_gone_on(row, now):
            row.read_at, row.doubted_since, row.doubted_at = now, None, None
        else:
            row.doubted_at = now
        row.save()
    if row.doubted_since is None:
        return now
    logger.warning(
        "Nothing is pruned: the clock says %s, and the last time it said %s. If it is right, say so on the admin's "
        "page Storage or with `manage.py prune --clock-is-right`.", f"{now:%Y-%m-%d %H:%M}",
        f"{row.read_at:%Y-%m-%d %H:%M}",
    )  # fmt: skip
    return None


def _has_gone_on(row: ClockReading, now: datetime) -> bool:
    """Return whether the doubted clock has run for long, without another step; note since when it does."""
    if row.doubted_since is None or row.doubted_at is None or not -AHEAD <= now - row.doubted_at <= _MOST:
        row.doubted_since = now
    return now - row.doubted_since >= _BELIEVED_AFTER


def doubt() -> ClockReading | None:
    """Return the reading whose clock is doubted, if it is."""
    return ClockReading.objects.filter(pk=PRUNING, doubted_since__isnull=False).first()


def believe() -> None:
    """Take the clock for right, as an operator says."""
    reading = {"read_at": earlier_now(), "doubted_since": None, "doubted_at": None}
    ClockReading.objects.update_or_create(pk=PRUNING, defaults=reading)


def lost_time(work: str, now: datetime, *, usual: timedelta) -> timedelta:
    """Return by how much longer than usual the work was not done: it was off, or the clock was set forward."""
    with transaction.atomic():
        row, _ = ClockReading.objects.select_for_update().get_or_create(pk=work, defaults={"read_at": now})
        passed = now - row.read_at
        if passed < timedelta(0) or passed > usual / 10:
            row.read_at = now
            row.save(update_fields=["read_at"])
    return max(passed - usual, timedelta(0))
