"""Rerankers: a second, slower look at the best hits. The backend is the class that the settings name."""

import logging
import threading
from concurrent.futures import Future
from dataclasses import replace
from functools import cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from retrieval.errors import RerankerUnavailable
from retrieval.search.hits import Hit

logger = logging.getLogger(__name__)

CANDIDATES = 30
"""Hits that a reranker reads."""

_loading = threading.Lock()
_running = threading.Semaphore(4)
"""A model that hangs keeps so many threads at most; then reranking is off until it answers."""


class Reranker(Protocol):
    def __init__(self, model: str) -> None: ...

    def scores(self, query: str, texts: list[str]) -> list[float]:
        """Return a score for each text, higher is better, on any scale; raise RerankerUnavailable."""
        ...


def is_configured() -> bool:
    return bool(settings.FABRA_RERANK_MODEL)


def get_reranker() -> Reranker:
    """Return the reranker of the settings, loaded once a process; raise RerankerUnavailable."""
    if not is_configured():
        raise RerankerUnavailable("no reranker is configured; set FABRA_RERANK_MODEL")
    with _loading:
        return _load(settings.FABRA_RERANKER, settings.FABRA_RERANK_MODEL)


@cache
def _load(backend: str, model: str) -> Reranker:
    reranker: Reranker = import_string(backend)(model)
    return reranker


def rerank_hits(query: str, hits: list[Hit]) -> tuple[list[Hit], tuple[str, ...]]:
    """Return the hits in the reranker's order; as they are and flagged if it fails or takes too long."""
    if not hits:
        return hits, ()
    try:
        scores = _scores_in_time(query, [hit.content for hit in hits])
    except RerankerUnavailable as error:
        logger.warning("Hits are not reranked: %s", error)
        return hits, ("rerank_unavailable",)
    order = sorted(range(len(hits)), key=lambda n: -scores[n])
    return [replace(hits[n], rerank_score=round(float(scores[n]), 6)) for n in order], ()


def _scores_in_time(query: str, texts: list[str]) -> list[float]:
    """Run the model in a thread of its own: one that hangs is left behind, not waited for."""
    answer: Future[list[float]] = Future()

    def run() -> None:
        try:
            answer.set_result(get_reranker().scores(query, texts))
        except Exception as error:  # whatever a model raises, the search goes on without it
            answer.set_exception(error)
        finally:
            _running.release()

    if not _running.acquire(blocking=False):
        raise RerankerUnavailable("it is busy")
    threading.Thread(target=run, daemon=True, name="rerank").start()
    seconds = settings.FABRA_RERANK_TIMEOUT
    try:
        scores = answer.result(timeout=seconds)
    except TimeoutError:
        raise RerankerUnavailable(f"no answer within {seconds:g} s") from None
    except RerankerUnavailable:
        raise
    except Exception as error:
        raise RerankerUnavailable(f"it failed with {type(error).__name__}") from error
    if len(scores) != len(texts):
        raise RerankerUnavailable(f"{len(scores)} scores for {len(texts)} texts")
    return scores
