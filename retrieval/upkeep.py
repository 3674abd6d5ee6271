"""The sweep of retrieval: go on with what failed or was abandoned, and build missing indexes."""

import time
from datetime import timedelta

from django.utils import timezone

from common.background import start_thread
from common.clocks import is_past
from retrieval.dispatch import enqueue_build, enqueue_drop, enqueue_hnsw_build
from retrieval.generations import hnsw
from retrieval.indexing.purge import continue_purges
from retrieval.models import Generation
from retrieval.reindex import retry_failed

_ABANDONED_AFTER = timedelta(seconds=60)
_PURGES_S = 10.0


def pick_up() -> None:
    """Retry failed documents, go on with purges, builds and drops without a worker, and enqueue missing indexes."""
    retry_failed()
    give_up_at = time.monotonic() + _PURGES_S
    continue_purges(until=lambda: time.monotonic() > give_up_at)
    now = timezone.now()
    waiting = Generation.objects.exclude(state=Generation.State.READY).filter(
        is_past("worked_at", since=_ABANDONED_AFTER)
    )
    for generation in waiting:
        # The conditional update claims it, so that two sweeps do not both start it.
        if waiting.filter(pk=generation.pk).update(worked_at=now):
            (enqueue_build if generation.state == Generation.State.BUILDING else enqueue_drop)(generation.pk)
    if hnsw.orphans():
        start_thread(hnsw.drop_orphans)
    for generation_id in hnsw.generations_to_index():
        enqueue_hnsw_build(generation_id)
