"""Search an index for each question of a collection in each mode, and measure what was found."""

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
from retrieval.search.execute import search_plain
from retrieval.search.filters import EVERYONE
from retrieval.search.hits import DEGRADED_FLAGS, SearchRecord
from retrieval.search.query import MAX_TOP_K, Mode

MODES = ("semantic", "lexical", "hybrid", "hybrid+rerank")
_TIMED_TOP_K = 10
"""So many questions are asked once more for the clock, as a retriever would: the measures need far deeper lists."""

MEASURES: dict[str, Callable[[list[str], Grades], float]] = {
    "ndcg@10": lambda ranking, grades: metrics.ndcg(ranking, grades, 10),
    "recall@10": lambda ranking, grades: metrics.recall(ranking, grades, 10),
    "recall@100": lambda ranking, grades: metrics.recall(ranking, grades, 100),
    "mrr@10": lambda ranking, grades: metrics.reciprocal_rank(ranking, grades, 10),
}


@dataclass(frozen=True, kw_only=True)
class Question:
    id: str
    text: str
    grades: Grades


@dataclass(frozen=True, kw_only=True)
class ModeResult:
    """What one mode achieved: the mean of each measure, its 95 % interval, and latencies."""

    means: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    latency_ms_p50: float
    latency_ms_p95: float
    """Of a search for ten hits, embedding included."""
    questions: int
    refused: int
    """Questions that no search takes (too long, empty); each counts as nothing found."""
    flags: Mapping[str, int]
    """How many searches said that a part was down."""


def questions_of(
    queries: Mapping[str, str],
    qrels: Mapping[str, Grades],
    documents: Sequence[CorpusDocument],
    limit: int | None = None,
) -> list[Question]:
    """Return the questions that have a relevant document, in the order of the judgements."""
    found = [
        Question(id=each, text=queries[each], grades=grades)
        for each, grades in qrels.items()
        if each in queries and any(grade > 0 for grade in grades.values())
    ]
    if not found:
        raise InvalidInput("No question of the queries has a relevant document in the judgements.")
    if {each.id for each in documents}.isdisjoint(id for question in found for id in question.grades):
        raise InvalidInput("No judged document is in the corpus: these files are not of one collection.")
    return found[:limit]


def measure(
    index_name: str,
    questions: list[Question],
    mode: str,
    *,
    top_k: int = 100,
    timed: int = 200,
    on_done: Callable[[], object] = lambda: None,
) -> ModeResult:
    """Ask every question in one mode, and the first `timed` once more for the clock; `on_done` is called after each."""
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    flags: Counter[str] = Counter()
    answered: list[Question] = []
    for question in questions:
        ranking: list[str] = []
        try:
            ranking, said = _documents(index_name, question, mode, top_k)
        except InvalidInput:
            pass
        else:
            answered.append(question)
            flags.update(DEGRADED_FLAGS.intersection(said))
        for name, function in MEASURES.items():
            values[name].append(function(ranking, question.grades))
        on_done()
    latencies_ms = [_latency_ms(index_name, question.text, mode) for question in answered[:timed]]
    return ModeResult(
        means={name: metrics.mean(each) for name, each in values.items()},
        intervals={name: metrics.confidence_interval(each) for name, each in values.items()},
        latency_ms_p50=metrics.percentile(latencies_ms, 50),
        latency_ms_p95=metrics.percentile(latencies_ms, 95),
        questions=len(questions),
        refused=len(questions) - len(answered),
        flags=flags,
    )


def available(mode: str) -> bool:
    return mode != "hybrid+rerank" or rerankers.is_configured()


def why_missing(mode: str) -> str:
    """Say why a mode cannot be measured, if so. A reranker is loaded by that: no question has to wait for it."""
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
) -> SearchRecord:
    """Search in one of MODES; without an audience, for every one."""
    legs, _, rerank = mode.partition("+")
    return search_plain(
        index_name,
        query,
        top_k,
        filters,
        mode=cast(Mode, legs),
        rerank=bool(rerank),
        audience=audience or EVERYONE,
        max_per_document=max_per_document,
    )


def _documents(
    index_name: str, question: Question, mode: str, top_k: int, *, most: int = MAX_TOP_K
) -> tuple[list[str], tuple[str, ...]]:
    """Return the best `top_k` documents, each by its best chunk, and the flags of the search.

    A document with the question's own id is the question itself, as in ArguAna and Quora, and is left out as BEIR
    does; but where the judgements name it as an answer the two only happen to be numbered alike.
    """
    record = search_as(index_name, question.text, mode=mode, top_k=most)
    if len(record.hits) == most and len({hit.document_id for hit in record.hits}) <= top_k:
        # Long documents took all places.
        record = search_as(index_name, question.text, mode=mode, top_k=top_k + 1, max_per_document=1)
    found = (document_id for hit in record.hits for document_id in (hit.document_id, *hit.duplicates))
    itself = question.id if question.grades.get(question.id, 0) <= 0 else None
    return [each for each in dict.fromkeys(found) if each != itself][:top_k], record.flags


def _latency_ms(index_name: str, query: str, mode: str) -> float:
    started = time.perf_counter()
    search_as(index_name, query, mode=mode, top_k=_TIMED_TOP_K)
    return (time.perf_counter() - started) * 1000
