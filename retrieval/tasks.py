"""Celery tasks of retrieval."""

import logging
from dataclasses import asdict
from typing import Any

from celery import current_app
from celery.signals import worker_process_init
from django.utils import timezone

from common.background import start_thread
from common.bot_task import bot_task
from common.locks import held, is_held
from common.time_slices import task_slice
from events.dispatch import STATE_QUEUE
from retrieval import upkeep
from retrieval.dispatch import (
    enqueue_build,
    enqueue_comparison,
    enqueue_drop,
    enqueue_evaluation,
    enqueue_follow,
    enqueue_ingestion_slice,
    enqueue_model_sync,
    start_ingestion,
)
from retrieval.embedders import get_embedder
from retrieval.errors import EmbedderUnavailable, ObjectUnreadable, TextRefused
from retrieval.evaluation import comparison, runs
from retrieval.generations import hnsw, lifecycle
from retrieval.ingestion.runs import list_files, source_of
from retrieval.ingestion.work import execute_run
from retrieval.model_sources.declaration import model_sources
from retrieval.model_sources.sync import SourceBusy, due_sources, sync
from retrieval.models import Generation, IngestionRun, ModelSource
from retrieval.search.lexemes import generations_to_merge
from retrieval.search.lexemes import merge_counts as merge_counts_of
from retrieval.sources import is_remote

logger = logging.getLogger(__name__)

_BUILD_PAUSE_S = 1
"""Until a build is looked at again whose last documents other workers have."""
_INGESTION_RETRY_S, _INGESTION_PAUSE_S = 30, 1


@bot_task
def build_hnsw(generation_id: int) -> None:
    """Start the build in a thread: PostgreSQL does the work, for many minutes, and no worker process waits for it."""
    start_thread(hnsw.build_hnsw, generation_id)


@bot_task
def merge_counts() -> None:
    """Merge document frequencies, to keep their look-up fast after many changes."""
    for generation_id in generations_to_merge():
        merge_counts_of(generation_id)


@bot_task
def evaluate_run(run_id: int) -> None:
    """Evaluate a run's remaining questions for a slice; a task delivered twice finds the run locked, or done."""
    runs.execute_run(run_id, until=task_slice())
    if not runs.is_ended(run_id) and not is_held(runs.lock_name(run_id)):
        enqueue_evaluation(run_id)


@bot_task
def build_generation(generation_id: int) -> None:
    """Build a generation for a slice, with other workers; the sweep restarts it after an outage or a crash."""
    until = task_slice()
    try:
        is_built = lifecycle.execute_slice(generation_id, until=until)
    except (EmbedderUnavailable, TextRefused) as error:
        logger.warning("%s The generation %d waits.", error, generation_id)
        return
    except Generation.DoesNotExist:
        return  # it was dropped meanwhile
    if is_built:
        start_thread(lifecycle.make_ready, generation_id)  # it may build an HNSW, as above
    else:
        enqueue_build(generation_id, delay_s=0 if until() else _BUILD_PAUSE_S)


@bot_task
def follow_documents(document_ids: list[int]) -> None:
    """Update the other generations to the documents' versions for a slice; what fails is done by a switch."""
    if left := lifecycle.update_documents(document_ids, until=task_slice()):
        enqueue_follow(left)


@bot_task
def drop_generation(generation_id: int) -> None:
    if not lifecycle.execute_drop(generation_id, until=task_slice()):
        enqueue_drop(generation_id)


@bot_task
def compare_generation(generation_id: int, so_far: dict[str, Any] | None = None) -> None:
    """Compare a generation with the one that serves for a slice; another task goes on with what was found so far."""
    if not Generation.objects.filter(pk=generation_id).exists():
        return
    work = comparison.Comparison(**so_far) if so_far else comparison.begin_comparison(generation_id)
    if comparison.continue_comparison(generation_id, work, until=task_slice()) is None:
        enqueue_comparison(generation_id, asdict(work))


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
    """Process a run for a slice, then enqueue the rest, so that other tasks are not kept waiting.

    A site answers as slowly as it likes: no worker process waits until all its pages are listed.
    """
    run = IngestionRun.objects.filter(pk=run_id).unfinished().first()
    if run is None:
        return
    if not run.is_listed and is_remote(run.location):
        start_thread(_list_remote, run)
        return
    try:
        is_finished = execute_run(run_id, until=task_slice(), wait_s=0)
    except (EmbedderUnavailable, TextRefused) as error:
        logger.warning("The run %d waits for the embedding model: %s", run_id, error)
        enqueue_ingestion_slice(run_id, _INGESTION_RETRY_S)
        return
    if not is_finished:
        run.refresh_from_db()
        is_ready = run.is_listed and run.files.filter(state="waiting").exists()
        enqueue_ingestion_slice(run_id, 0 if is_ready else _INGESTION_PAUSE_S)


def _list_remote(run: IngestionRun) -> None:
    """List a run's site, and have workers go on; of several threads that begin with it, one does."""
    with held(f"ingestion-thread-{run.pk}") as is_mine:
        if is_mine and list_files(run, source_of(run)) and not run.is_finished:
            start_ingestion(run)


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
    """Go on with the comparison of a model source for a slice, then enqueue the rest."""
    source = model_sources.get(name)
    if source is None or not ModelSource.objects.enabled().filter(name=name).exists():
        return
    try:
        is_finished = sync(source, until=task_slice())
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
