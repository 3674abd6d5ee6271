"""Background tasks of no app in particular."""

from celery import shared_task

from common import retention

_SLICE_S = 15.0


@shared_task
def prune() -> None:
    """Remove what is older than it is kept; what is left after some seconds goes with another task."""
    if not retention.prune(retention.slice_of(_SLICE_S)):
        prune.delay()
