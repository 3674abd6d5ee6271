"""Search an index for each query of a collection in each mode, and measure the results."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from common.errors import InvalidInput
from retrieval import rerankers
from retrieval.errors import RerankerUnavailable
from retrieval.evaluation import metrics
from retrieval.evaluation.beir import CorpusDocument
from retrieval.evaluation.metrics import Grades
from retrieval.search.execute import search_sync
from retrieval.search.filters import EVERYONE
from retrieval.search.hits import DEGRADED_FLAGS, SearchRecord
from retrieval.search.query import MAX_TOP_K, Mode

MODES = ("semantic", "lexical", "hybrid", "hybrid+rerank")
_TIMED_TOP_K = 10
"""Latency is measured with this `top_k`, as of a retriever: the measures need far longer lists."""

MEASURES: dict[str, Callable[[list[str], Grades], float]] = {
    "ndcg@10": lambda ranking, grades: metrics.ndcg(ranking, grades, 10),
    "recall@10": lambda ranking, grades: metrics.recall(ranking, grades, 10),
    "recall@100": lambda ranking, grades: metrics.recall(ranking, grades, 100),
    "mrr@10": lambda ranking, grades: metrics.reciprocal_rank(ranking, grades, 10),
}


@dataclass(frozen=True, kw_only=True)
class JudgedQuery:
    """A query of a collection, with the grades of its judged documents."""

    id: str
    text: str
    grades: Grades
    history: tuple[str, ...] = ()
    """The earlier questions of a conversation, the oldest first."""


@dataclass(frozen=True, kw_only=True)
class ModeResult:
    """The results of one mode: the mean of each measure, its 95 % interval, and latencies."""

    means: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    latency_ms_p50: float
    latency_ms_p95: float
    """The time of a search for ten hits, embedding included."""
    queries: int
    refused: int
    """Queries that search refuses (too long, empty); each counts as nothing found."""
    flags: Mapping[str, int]
    """The number of searches with each flag of an outage."""


def judged_queries(
    queries: Mapping[str, str],
    qrels: Mapping[str, Grades],
    documents: Sequence[CorpusDocument],
    limit: int | None = None,
) -> list[JudgedQuery]:
    """Return the queries that have a relevant document, in the order of the judgements; raise InvalidInput if none."""
    found = [
        JudgedQuery(id=query_id, text=queries[query_id], grades=grades)
        for query_id, grades in qrels.items()
        if query_id in queries and any(grade > 0 for grade in grades.values())
    ]
    if not found:
        raise InvalidInput("No question of the queries has a relevant document in the judgements.")
    if {document.id for document in documents}.isdisjoint(id for query in found for id in query.grades):
        raise InvalidInput("No judged document is in the corpus: these files are not of one collection.")
    return found[:limit]


def measure(
    index_name: str,
    queries: list[JudgedQuery],
    mode: str,
    *,
    top_k: int = 100,
    timed: int = 200,
    on_done: Callable[[], object] = lambda: None,
) -> ModeResult:
    """Run every query in one mode, and the first `timed` again for latency; `on_done` is called after each query."""
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    flags: Counter[str] = Counter()
    answered: list[JudgedQuery] = []
    for query in queries:
        ranking: list[str] = []
        try:
            ranking, search_flags = _documents(index_name, query, mode, top_k)
        except InvalidInput:
            pass
        else:
            answered.append(query)
            flags.update(DEGRADED_FLAGS.intersection(search_flags))
        for name, function in MEASURES.items():
            values[name].append(function(ranking, query.grades))
        on_done()
    latencies_ms = [_latency_ms(index_name, query, mode) for query in answered[:timed]]
    return ModeResult(
        means={name: metrics.mean(scores) for name, scores in values.items()},
        intervals={name: metrics.confidence_interval(scores) for name, scores in values.items()},
        latency_ms_p50=metrics.percentile(latencies_ms, 50),
        latency_ms_p95=metrics.percentile(latencies_ms, 95),
        queries=len(queries),
        refused=len(queries) - len(answered),
        flags=flags,
    )


def is_available(mode: str) -> bool:
    """Return whether a mode can be used with the settings: reranking needs a configured model."""
    return mode != "hybrid+rerank" or rerankers.is_configured()


def why_missing(mode: str) -> str:
    """Return why a mode cannot be measured, or ""; this loads the reranker, so that no query has to wait for it."""
    try:
        if mode == "hybrid+rerank":
            rerankers.get_reranker()
    except RerankerUnavailable as error:
        return str(error)
    return ""


def search_as(
    index_name: str,
    query: str,
    *,
    mode: str,
    top_k: int,
    filters: dict[str, Any] | None = None,
    audience: list[str] | None = None,
    max_per_document: int | None = None,
    history: Sequence[str] | None = None,
) -> SearchRecord:
    """Search in one of MODES; without an audience, all documents. Raise as `search` does."""
    legs, _, rerank = mode.partition("+")
    return search_sync(
        index_name,
        query,
        top_k,
        filters,
        mode=cast(Mode, legs),
        rerank=bool(rerank),
        audience=audience or EVERYONE,
        max_per_document=max_per_document,
        history=history,
    )


def _documents(
    index_name: str, query: JudgedQuery, mode: str, top_k: int, *, most: int = MAX_TOP_K
) -> tuple[list[str], tuple[str, ...]]:
    """Return the best `top_k` documents, each by its best chunk, and the flags of the search.

    A document with the query's own id is the query itself, as in ArguAna and Quora, and is left out as BEIR
    does; if the judgements name it as relevant, the two only happen to have the same id.
    """
    record = search_as(index_name, query.text, mode=mode, top_k=most, history=query.history or None)
    if len(record.hits) == most and len({hit.document_id for hit in record.hits}) <= top_k:
        # Chunks of long documents took all ranks.
        record = search_as(
            index_name, query.text, mode=mode, top_k=top_k + 1, max_per_document=1, history=query.history or None
        )
    found = (document_id for hit in record.hits for document_id in (hit.document_id, *hit.duplicates))
    itself = query.id if query.grades.get(query.id, 0) <= 0 else None
    return [document_id for document_id in dict.fromkeys(found) if document_id != itself][:top_k], record.flags


def _latency_ms(index_name: str, query: JudgedQuery, mode: str) -> float:
    started = time.perf_counter()
    search_as(index_name, query.text, mode=mode, top_k=_TIMED_TOP_K, history=query.history or None)
    return (time.perf_counter() - started) * 1000
