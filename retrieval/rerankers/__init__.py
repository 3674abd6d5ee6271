"""Rerankers: score the best hits again with a slower model; FABRA_RERANKER names the backend's class."""

import threading
from concurrent.futures import Future
from functools import cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from retrieval.errors import RerankerUnavailable

CANDIDATES = 30
"""The number of hits that are reranked."""

_loading = threading.Lock()
_running = threading.Semaphore(4)
"""A model that hangs blocks at most this many threads; then reranking is off until one returns."""


class Reranker(Protocol):
    """A model that scores how well texts answer a query."""

    def __init__(self, model: str) -> None: ...

    def scores(self, query: str, texts: list[str]) -> list[float]:
        """Return a score for each text, higher is better, on any scale; raise RerankerUnavailable."""
        ...


def is_configured() -> bool:
    """Return whether FABRA_RERANK_MODEL names a model."""
    return bool(settings.FABRA_RERANK_MODEL)


def get_reranker() -> Reranker:
    """Return the reranker of the settings, loaded once in each process; raise RerankerUnavailable."""
    if not is_configured():
        raise RerankerUnavailable("no reranker is configured; set FABRA_RERANK_MODEL")
    with _loading:
        return _load(settings.FABRA_RERANKER, settings.FABRA_RERANK_MODEL)


@cache
def _load(backend: str, model: str) -> Reranker:
    reranker: Reranker = import_string(backend)(model)
    return reranker


def scores_in_time(query: str, texts: list[str]) -> list[float]:
    """Return a score for each text, from a thread that is abandoned if the model hangs; raise RerankerUnavailable."""
    answer: Future[list[float]] = Future()

    def run() -> None:
        try:
            answer.set_result(get_reranker().scores(query, texts))
        except Exception as error:  # a model may raise anything; the search continues without it
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
