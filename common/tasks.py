"""Background tasks of no app in particular."""

from common import retention
from common.bot_task import bot_task

_SLICE_S = 15.0


@bot_task
def prune() -> None:
    """Remove what is older than it is kept; what is left after some seconds goes with another task."""
    if not retention.prune(retention.slice_of(_SLICE_S)):
        prune.delay()
