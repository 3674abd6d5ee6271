"""Background tasks of no app in particular."""

from common.bot_task import bot_task
from common.retention.pruning import work
from common.time_slices import task_slice


@bot_task
def prune(turn: int | None = None) -> None:
    """Remove what is older than it is kept; what is left after some seconds goes with another task, that of `turn`."""
    following = work(turn, task_slice())
    if following is not None:
        prune.delay(following)
