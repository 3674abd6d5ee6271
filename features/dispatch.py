"""Enqueue the tasks of the feature store."""

from common.dispatch import enqueue

MATERIALIZE_RUN = "features.tasks.materialize_run"


def enqueue_run(run_id: int) -> bool:
    """Have a worker execute a materialisation run; return False without a broker: the upkeep enqueues it later."""
    return enqueue(MATERIALIZE_RUN, run_id, otherwise=f"the materialisation run {run_id} waits")
