"""Celery beat's scheduler, which goes on where the clock is set back.

django-celery-beat counts from the times when entries last ran. Where those lie ahead, by an hour say, nothing would run
for that hour: no sweep, and so no event whose message was lost.
"""

import logging
import math
import time
from typing import Any

from celery.beat import SchedulingError
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler
from kombu.exceptions import KombuError

from common.clocks import AHEAD
from common.redis import REDIS_ERRORS

logger = logging.getLogger(__name__)


class SteadyScheduler(DatabaseScheduler):
    """DatabaseScheduler, but after a step back of the clock entries count from now on."""

    _offset_s = math.inf
    """The clock's time less the monotonic one; at the start the clock may have been set back before."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        offset_s = time.time() - time.monotonic()
        if offset_s < self._offset_s - AHEAD.total_seconds():
            self.count_anew()
        self._offset_s = offset_s
        wait_s: float = super().tick(*args, **kwargs)
        return wait_s

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a due task; that a broker is down or full is a line of the log for each, no traceback."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            is_of_broker = isinstance(error.__context__, (KombuError, *REDIS_ERRORS))
            logger.error("%s", error, exc_info=None if is_of_broker else error)

    def count_anew(self) -> None:
        """Have the entries that ran last at a time that is yet to come count from now on."""
        now = timezone.now()
        ahead = [entry for entry in self.schedule.values() if entry.last_run_at > now + AHEAD]
        for entry in ahead:
            entry.last_run_at = entry.model.last_run_at = now
        PeriodicTask.objects.filter(last_run_at__gt=now + AHEAD).update(last_run_at=now)
        if ahead:
            logger.warning("The clock was set back: %d entries of the schedule count from now on.", len(ahead))
        self._heap = self._last_timestamp = None  # ordered by times of the former clock
