"""Celery tasks of retrieval."""

import logging
import time
from typing import Any

from celery import current_app
from celery.signals import worker_process_init
from django.utils import timezone

from common.bot_task import bot_task
from events.dispatch import STATE_QUEUE
from retrieval import upkeep
from retrieval.dispatch import enqueue_evaluation, enqueue_ingestion_slice, enqueue_model_sync, start_ingestion
from retrieval.embedders import get_embedder
from retrieval.errors import EmbedderUnavailable, ObjectUnreadable, TextRefused
from retrieval.evaluation import runs
from retrieval.generations import comparison, hnsw, lifecycle
from retrieval.ingestion.work import execute_run
from retrieval.model_sources.declaration import model_sources
from retrieval.model_sources.sync import SLICE_BATCH_CHARS, SourceBusy, due_sources, sync
from retrieval.models import Generation, IngestionRun, ModelSource
from retrieval.search.lexemes import generations_to_merge
from retrieval.search.lexemes import merge_counts as merge_counts_of

logger = logging.getLogger(__name__)

_SYNC_SLICE_S = 15
_INGESTION_SLICE_S, _INGESTION_RETRY_S, _INGESTION_PAUSE_S = 20, 30, 1


@bot_task
def build_hnsw(generation_id: int) -> None:
    hnsw.build_hnsw(generation_id)


@bot_task
def merge_counts() -> None:
    """Merge document frequencies, to keep their look-up fast after many changes."""
    for generation_id in generations_to_merge():
        merge_counts_of(generation_id)


@bot_task
def evaluate_run(run_id: int) -> None:
    """Evaluate a run's remaining questions; a task that is delivered twice finds the run locked, or done."""
    runs.execute_run(run_id)


@bot_task
def build_generation(generation_id: int) -> None:
    """Build a generation together with other workers; the sweep restarts it after an outage or a crash."""
    try:
        lifecycle.execute_build(generation_id)
    except (EmbedderUnavailable, TextRefused) as error:
        logger.warning("%s The generation %d waits.", error, generation_id)
    except Generation.DoesNotExist:
        pass  # it was dropped meanwhile


@bot_task
def follow_document(document_id: int) -> None:
    """Update the other generations to a document's version; if this fails, a switch does it."""
    try:
        lifecycle.update_document(document_id)
    except (EmbedderUnavailable, TextRefused) as error:
        logger.warning("%s A generation lags behind.", error)


@bot_task
def drop_generation(generation_id: int) -> None:
    lifecycle.execute_drop(generation_id)


@bot_task
def compare_generation(generation_id: int) -> None:
    comparison.compare_generation(generation_id)


@bot_task
def resume_evaluations() -> None:
    """Continue the evaluation runs that a crash or an outage interrupted."""
    for run_id in runs.abandoned_runs():
        enqueue_evaluation(run_id)


@worker_process_init.connect
def load_embedder(**kwargs: Any) -> None:
    """Load the model when a worker process for documents starts, so that the first document does not wait for it."""
    if STATE_QUEUE not in current_app.amqp.queues.consume_from:
        return
    try:
        get_embedder()
    except (EmbedderUnavailable, TextRefused) as error:
        logger.warning("%s Documents wait for it.", error)


@bot_task
def ingest(run_id: int) -> None:
    """Process a run for _INGESTION_SLICE_S, then enqueue the rest, so that other tasks are not kept waiting."""
    if not IngestionRun.objects.filter(pk=run_id).unfinished().exists():
        return
    give_up_at = time.monotonic() + _INGESTION_SLICE_S
    try:
        is_finished = execute_run(run_id, until=lambda: time.monotonic() > give_up_at)
    except (EmbedderUnavailable, TextRefused) as error:
        logger.warning("The run %d waits for the embedding model: %s", run_id, error)
        enqueue_ingestion_slice(run_id, _INGESTION_RETRY_S)
        return
    if not is_finished:
        waiting = IngestionRun.objects.get(pk=run_id).files.filter(state="waiting").exists()
        enqueue_ingestion_slice(run_id, 0 if waiting else _INGESTION_PAUSE_S)


@bot_task
def sweep_ingestion() -> None:
    """Restart background runs whose workers died; a run of a command, which may read local files, waits for it."""
    for run in IngestionRun.objects.orphaned().filter(is_background=True):
        IngestionRun.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now())
        start_ingestion(run)


@bot_task
def pick_up() -> None:
    """Continue failed and interrupted work: retry documents, resume builds and drops, and build missing indexes."""
    upkeep.pick_up()


@bot_task
def sync_model_source(name: str) -> None:
    """Go on with the comparison of a model source for _SYNC_SLICE_S, then enqueue the rest."""
    source = model_sources.get(name)
    if source is None or not ModelSource.objects.active().filter(name=name).exists():
        return
    give_up_at = time.monotonic() + _SYNC_SLICE_S
    try:
        is_finished = sync(source, batch_chars=SLICE_BATCH_CHARS, until=lambda: time.monotonic() > give_up_at)
    except SourceBusy:
        return  # who has it goes on with it
    except (EmbedderUnavailable, ObjectUnreadable) as error:
        logger.warning("The comparison of %s waits: %s", name, error)
        return
    if not is_finished or ModelSource.objects.requested().filter(name=name).exists():
        enqueue_model_sync(name)


@bot_task
def sync_model_sources() -> None:
    """Have the model sources compared that are due, and those go on whose worker died."""
    for name in due_sources():
        enqueue_model_sync(name)
