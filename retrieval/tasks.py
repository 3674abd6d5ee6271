"""Celery tasks of retrieval."""

import logging
from typing import Any

from celery import shared_task
from celery.signals import worker_process_init
from kombu.exceptions import KombuError

from features.redis_clients import REDIS_ERRORS
from retrieval import hnsw
from retrieval.embedders import get_embedder
from retrieval.errors import EmbedderUnavailable
from retrieval.evaluation import runs
from retrieval.lexemes import crowded_generations
from retrieval.lexemes import merge_counts as merge_counts_of

logger = logging.getLogger(__name__)


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


def ask_for_hnsw(generation_id: int) -> None:
    """Have a worker build the index; without a broker searches stay exact, and the next document asks again."""
    try:
        build_hnsw.delay(generation_id)
    except (KombuError, *REDIS_ERRORS) as error:
        logger.warning("The broker does not answer (%s): the HNSW index waits.", type(error).__name__)


@worker_process_init.connect
def load_embedder(**kwargs: Any) -> None:
    """Load the model as a worker's process starts, so that the first changed document does not wait for it."""
    try:
        get_embedder()
    except EmbedderUnavailable as error:
        logger.warning("%s Documents wait for it.", error)
