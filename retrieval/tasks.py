"""Celery tasks of retrieval."""

import logging
import time
from typing import Any

from celery import current_app, shared_task
from celery.signals import worker_process_init
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import KombuError

from features.events import STATE_QUEUE
from features.redis_clients import REDIS_ERRORS
from retrieval import comparison, generations, hnsw
from retrieval.embedders import get_embedder
from retrieval.errors import EmbedderUnavailable
from retrieval.evaluation import runs
from retrieval.ingestion.work import work_at
from retrieval.lexemes import crowded_generations
from retrieval.lexemes import merge_counts as merge_counts_of
from retrieval.models import Generation, IngestionRun

logger = logging.getLogger(__name__)

_INGESTION_SLICE_S, _INGESTION_RETRY_S, _INGESTION_PAUSE_S = 20, 30, 1


@shared_task
def build_hnsw(generation_id: int) -> None:
    hnsw.build_hnsw(generation_id)


@shared_task
def merge_counts() -> None:
    """Keep the look-up of document frequencies short where many documents changed."""
    for generation_id in crowded_generations():
        merge_counts_of(generation_id)


@shared_task
def evaluate_run(run_id: int) -> None:
    """Ask what a run has not asked yet; a second delivery finds it held, or done."""
    runs.execute_run(run_id)


@shared_task
def build_generation(generation_id: int) -> None:
    """Share in a build; the sweep starts it again where the embedder was down or a worker died."""
    try:
        generations.execute_build(generation_id)
    except EmbedderUnavailable as error:
        logger.warning("%s The generation %d waits.", error, generation_id)
    except Generation.DoesNotExist:
        pass  # dropped meanwhile


@shared_task
def follow_document(document_id: int) -> None:
    """Bring the other generations up to date; what fails is caught up with before a switch."""
    try:
        generations.follow(document_id)
    except EmbedderUnavailable as error:
        logger.warning("%s A generation lags behind.", error)


@shared_task
def drop_generation(generation_id: int) -> None:
    generations.execute_drop(generation_id)


@shared_task
def compare_generation(generation_id: int) -> None:
    comparison.compare_generation(generation_id)


@shared_task
def resume_evaluations() -> None:
    """Go on with the runs that a crash or an outage left."""
    for run_id in runs.abandoned_runs():
        evaluate_run.delay(run_id)


def ask_for_hnsw(generation_id: int) -> None:
    """Have a worker build the index; without a broker searches stay exact, and the next document asks again."""
    _ask(build_hnsw, generation_id, "the HNSW index waits")


def ask_to_follow(document_id: int) -> None:
    _ask(follow_document, document_id, "a generation lags behind")


def ask_to_build(generation_id: int, workers: int = 1) -> None:
    for _ in range(workers):
        _ask(build_generation, generation_id, "the build waits for the sweep")


def ask_to_compare(generation_id: int) -> None:
    _ask(compare_generation, generation_id, "it is not compared")


def ask_to_drop(generation_id: int) -> None:
    _ask(drop_generation, generation_id, "it is dropped by the sweep")


def _ask(task: Any, row_id: int, otherwise: str) -> None:
    try:
        task.delay(row_id)
    except (KombuError, *REDIS_ERRORS) as error:
        logger.warning("The broker does not answer (%s): %s.", type(error).__name__, otherwise)


@worker_process_init.connect
def load_embedder(**kwargs: Any) -> None:
    """Load the model as a process of a worker for documents starts, so that the first of them does not wait for it."""
    if STATE_QUEUE not in current_app.amqp.queues.consume_from:
        return
    try:
        get_embedder()
    except EmbedderUnavailable as error:
        logger.warning("%s Documents wait for it.", error)


@shared_task
def ingest(run_id: int) -> None:
    """Work at a run for a while; the rest goes to the end of the queue, so that other work gets its turn."""
    if not IngestionRun.objects.filter(pk=run_id).unfinished().exists():
        return
    give_up_at = time.monotonic() + _INGESTION_SLICE_S
    try:
        is_finished = work_at(run_id, until=lambda: time.monotonic() > give_up_at)
    except EmbedderUnavailable as error:
        logger.warning("The run %d waits for the embedding model: %s", run_id, error)
        ingest.apply_async([run_id], countdown=_INGESTION_RETRY_S)
        return
    if not is_finished:
        waiting = IngestionRun.objects.get(pk=run_id).files.filter(state="waiting").exists()
        ingest.apply_async([run_id], countdown=0 if waiting else _INGESTION_PAUSE_S)


@shared_task
def sweep_ingestion() -> None:
    """Go on with the runs whose workers are gone; one that reads a path of its own machine waits for its command."""
    for run in IngestionRun.objects.orphaned().filter(is_background=True):
        IngestionRun.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now())
        start_ingestion(run)


def start_ingestion(run: IngestionRun) -> bool:
    """Have the workers share a run; return False if the broker does not answer, and the sweep starts it later."""
    IngestionRun.objects.filter(pk=run.pk).update(is_background=True)
    try:
        for _ in range(settings.FABRA_INGESTION_WORKERS):
            ingest.delay(run.pk)
    except (KombuError, *REDIS_ERRORS) as error:
        logger.warning("The broker does not answer (%s): the run %d waits.", type(error).__name__, run.pk)
        return False
    return True
