"""Slices of long work: what is left when one is over goes on in another task, behind those that came meanwhile."""

import time
from collections.abc import Callable

from django.conf import settings

IsOver = Callable[[], bool]


def slice_of(seconds: float) -> IsOver:
    """Return a function that tells whether so much time has passed since now."""
    give_up_at = time.monotonic() + seconds
    return lambda: time.monotonic() > give_up_at


def task_slice() -> IsOver:
    """Return a function that tells whether the time of a task that starts now is over."""
    return slice_of(settings.FABRA_TASK_SLICE_S)
