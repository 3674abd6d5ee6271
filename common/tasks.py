"""Background tasks of no app in particular."""

from common.bot_task import bot_task
from common.retention import slice_of
from common.retention.pruning import work

_SLICE_S = 15.0


@bot_task
def prune(turn: int | None = None) -> None:
    """Remove what is older than it is kept; what is left after some seconds goes with another task, that of `turn`."""
    following = work(turn, slice_of(_SLICE_S))
    if following is not None:
        prune.delay(following)
