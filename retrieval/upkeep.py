"""What the sweep picks up in retrieval: failed documents, builds and drops that nobody is at, missing indexes."""

from datetime import timedelta

from django.utils import timezone

from retrieval.dispatch import enqueue_build, enqueue_drop, enqueue_hnsw_build
from retrieval.generations import hnsw
from retrieval.indexing.reindex import retry_failed
from retrieval.models import Generation

_FORGOTTEN_AFTER = timedelta(seconds=60)


def pick_up() -> None:
    """Retry documents that failed; go on with builds and drops that nobody works at; build missing indexes."""
    retry_failed()
    now = timezone.now()
    waiting = Generation.objects.exclude(state=Generation.State.READY).filter(worked_at__lt=now - _FORGOTTEN_AFTER)
    for generation in waiting:
        # Claimed, so that two sweeps do not both start it.
        if waiting.filter(pk=generation.pk).update(worked_at=now):
            (enqueue_build if generation.state == Generation.State.BUILDING else enqueue_drop)(generation.pk)
    for generation_id in hnsw.unbuilt():
        enqueue_hnsw_build(generation_id)
