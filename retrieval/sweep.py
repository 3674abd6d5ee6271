"""What the sweep picks up in retrieval: failed documents, builds and drops that nobody is at, missing indexes."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from retrieval import hnsw
from retrieval.models import Generation
from retrieval.reindex import retry_failed
from retrieval.tasks import ask_for_hnsw, ask_to_build, ask_to_drop

_FORGOTTEN_AFTER = timedelta(seconds=60)


def pick_up(**kwargs: Any) -> None:
    retry_failed()
    now = timezone.now()
    waiting = Generation.objects.exclude(state=Generation.State.READY).filter(worked_at__lt=now - _FORGOTTEN_AFTER)
    for generation in waiting:
        # Claimed, so that two sweeps do not both start it.
        if waiting.filter(pk=generation.pk).update(worked_at=now):
            (ask_to_build if generation.state == Generation.State.BUILDING else ask_to_drop)(generation.pk)
    for generation_id in hnsw.unbuilt():
        ask_for_hnsw(generation_id)
