"""Search an index for each question of a collection in each mode, and measure what was found."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from features.errors import InvalidInput
from retrieval import rerankers
from retrieval.evaluation import metrics
from retrieval.evaluation.metrics import Grades
from retrieval.filters import EVERYONE
from retrieval.hits import SearchRecord
from retrieval.search import MAX_TOP_K, Mode, search_plain

MODES = ("semantic", "lexical", "hybrid", "hybrid+rerank")
_WARM_UP = 3
"""Questions asked once before the clock counts: the first ones load the model and the index."""

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
    questions: int
    refused: int
    """Questions that no search takes (too long, empty); each counts as nothing found."""
    flags: Mapping[str, int]
    """How many searches said that something was missing."""


def questions_of(queries: Mapping[str, str], qrels: Mapping[str, Grades], limit: int | None = None) -> list[Question]:
    """Return the questions that have a relevant document, in the order of the judgements."""
    found = [
        Question(id=each, text=queries[each], grades=grades)
        for each, grades in qrels.items()
        if each in queries and any(grade > 0 for grade in grades.values())
    ]
    if not found:
        raise InvalidInput("No question of the queries has a relevant document in the judgements.")
    return found[:limit]


def measure(
    index_name: str,
    questions: list[Question],
    mode: str,
    *,
    top_k: int = 100,
    on_done: Callable[[], object] = lambda: None,
) -> ModeResult:
    """Ask every question in one mode; `on_done` is called after each."""
    for question in questions[:_WARM_UP]:
        _ask(index_name, question, mode, top_k)
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    latencies_ms: list[float] = []
    flags: dict[str, int] = {}
    refused = 0
    for question in questions:
        started = time.perf_counter()
        answer = _ask(index_name, question, mode, top_k)
        if answer is None:
            refused += 1
        else:
            latencies_ms.append((time.perf_counter() - started) * 1000)
        ranking, said = answer or ([], ())
        for flag in said:
            flags[flag] = flags.get(flag, 0) + 1
        for name, function in MEASURES.items():
            values[name].append(function(ranking, question.grades))
        on_done()
    return ModeResult(
        means={name: metrics.mean(each) for name, each in values.items()},
        intervals={name: metrics.confidence_interval(each) for name, each in values.items()},
        latency_ms_p50=metrics.percentile(latencies_ms, 50),
        latency_ms_p95=metrics.percentile(latencies_ms, 95),
        questions=len(questions),
        refused=refused,
        flags=flags,
    )


def available(mode: str) -> bool:
    return mode != "hybrid+rerank" or rerankers.is_configured()


def search_as(
    index_name: str, query: str, *, mode: str, top_k: int, filters: dict[str, Any] | None = None
) -> SearchRecord:
    """Search in one of MODES, for every audience."""
    legs, _, rerank = mode.partition("+")
    return search_plain(
        index_name, query, top_k, filters, mode=cast(Mode, legs), rerank=bool(rerank), audience=EVERYONE
    )


def _ask(index_name: str, question: Question, mode: str, top_k: int) -> tuple[list[str], tuple[str, ...]] | None:
    """Return the best `top_k` documents, each by its best chunk; None for a question that no search takes."""
    try:
        record = search_as(index_name, question.text, mode=mode, top_k=MAX_TOP_K)
    except InvalidInput:
        return None
    found = (document_id for hit in record.hits for document_id in (hit.document_id, *hit.duplicates))
    return list(dict.fromkeys(found))[:top_k], record.flags
