"""Enqueue the tasks of retrieval."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from common.dispatch import enqueue
from retrieval.models import Generation, IngestionRun


def enqueue_hnsw_build(generation_id: int, *, is_rebuild: bool = False) -> bool:
    """Have a worker build the HNSW; without a broker searches stay exact, and the upkeep enqueues it again."""
    if is_rebuild:
        Generation.objects.filter(pk=generation_id).update(is_rebuild_wanted=True)
    return enqueue("retrieval.tasks.build_hnsw", generation_id, otherwise="the HNSW index waits for the upkeep")


def enqueue_follow(document_ids: Sequence[int]) -> None:
    """Have a worker update the generations that do not serve to the documents' versions, in one task for all."""
    enqueue("retrieval.tasks.follow_documents", list(document_ids), otherwise="a generation lags behind")


def enqueue_build(generation_id: int, workers: int = 1, delay_s: float = 0.0) -> None:
    otherwise = "the build waits for the upkeep"
    for _ in range(workers):
        enqueue("retrieval.tasks.build_generation", generation_id, otherwise=otherwise, delay_s=delay_s)


def enqueue_comparison(generation_id: int, so_far: dict[str, Any] | None = None) -> None:
    arguments = (generation_id, so_far) if so_far else (generation_id,)
    enqueue("retrieval.tasks.compare_generation", *arguments, otherwise="it is not compared")


def enqueue_drop(generation_id: int) -> None:
    enqueue("retrieval.tasks.drop_generation", generation_id, otherwise="it is dropped by the upkeep")


def enqueue_evaluation(run_id: int) -> bool:
    return enqueue("retrieval.tasks.evaluate_run", run_id, otherwise=f"the evaluation run {run_id} waits")


def enqueue_model_sync(source: str) -> bool:
    return enqueue(
        "retrieval.tasks.sync_model_source", source, otherwise=f"the comparison of {source} waits for the beat"
    )


def enqueue_ingestion_slice(run_id: int, delay_s: float = 0.0) -> bool:
    otherwise = f"the ingestion run {run_id} waits for the upkeep"
    return enqueue("retrieval.tasks.ingest", run_id, otherwise=otherwise, delay_s=delay_s)


def start_ingestion(run: IngestionRun) -> bool:
    """Have workers execute a run; return False if the broker does not answer: the upkeep then starts it later."""
    IngestionRun.objects.filter(pk=run.pk).update(is_background=True)
    return all(enqueue_ingestion_slice(run.pk) for _ in range(settings.FABRA_INGESTION_WORKERS))
