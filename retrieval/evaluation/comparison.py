"""Compare a generation with the one that serves, by recent queries and golden questions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from retrieval.evaluation import metrics
from retrieval.evaluation.golden import ranking_of
from retrieval.models import Generation, GoldenQuestion
from retrieval.search.execute import execute_query
from retrieval.search.hits import Hit
from retrieval.search.query import SearchOptions, check_query
from retrieval.search.recent_queries import recent_queries

_TOP_K = 10
_MAX_QUERIES = 200
_MEASURES = ("recall@10", "ndcg@10")


@dataclass(kw_only=True)
class Comparison:
    """What is left to ask, and what was found so far: of two lists the first is of the generation that serves.

    It consists of JSON, so that one task can pass it to the next.
    """

    golden: list[int]
    queries: list[str]
    golden_questions: int
    recent: int
    overlaps: list[float] = field(default_factory=list)
    times: list[list[float]] = field(default_factory=lambda: [[], []])
    figures: dict[str, list[list[float]]] = field(default_factory=lambda: {name: [[], []] for name in _MEASURES})


def begin_comparison(generation_id: int, queries: list[str] | None = None) -> Comparison:
    """Return a comparison with all that is to be asked: the golden questions, and `queries` or the recent ones."""
    index = Generation.objects.select_related("index").get(pk=generation_id).index
    golden = GoldenQuestion.objects.enabled_in(index.name)[:_MAX_QUERIES]
    keys = [question.pk for question in golden]
    recent = list(recent_queries(index.pk, _MAX_QUERIES) if queries is None else queries)
    return Comparison(golden=keys, queries=recent, golden_questions=len(keys), recent=len(recent))


def continue_comparison(
    generation_id: int,
    comparison: Comparison,
    *,
    until: Callable[[], bool] = lambda: False,
    on_done: Callable[[int], object] = lambda count: None,
) -> dict[str, Any] | None:
    """Ask what is left of both generations; store and return the result, or None if `until()` was true before the end.

    Golden questions give recall and nDCG; all queries give the share of documents that both generations find, and
    the median latency. Of two figures the first is for the generation that serves.
    """
    generation = Generation.objects.select_related("index__generation").get(pk=generation_id)
    served = generation.index.generation
    assert served is not None
    questions = GoldenQuestion.objects.in_bulk(comparison.golden)
    while comparison.golden or comparison.queries:
        if comparison.golden:
            if question := questions.get(comparison.golden.pop(0)):
                _ask_golden(served, generation, question, comparison)
        else:
            _search_both(served, generation, comparison.queries.pop(0), None, {}, comparison)
        on_done(1)
        if (comparison.golden or comparison.queries) and until():
            return None
    result = _result(served, comparison)
    Generation.objects.filter(pk=generation_id).update(comparison=result)
    return result


def compare_generation(
    generation_id: int, queries: list[str] | None = None, on_done: Callable[[int], object] = lambda count: None
) -> dict[str, Any]:
    """Run the same queries against both generations; store and return the result, see `continue_comparison`."""
    result = continue_comparison(generation_id, begin_comparison(generation_id, queries), on_done=on_done)
    assert result is not None
    return result


def _result(served: Generation, comparison: Comparison) -> dict[str, Any]:
    overlaps, times = comparison.overlaps, comparison.times
    measured = comparison.figures if comparison.golden_questions else {}
    return {
        "with": served.pk,
        "compared_at": timezone.now().isoformat(),
        "queries": comparison.recent,
        "golden_questions": comparison.golden_questions,
        "overlap@10": round(metrics.mean(overlaps), 4) if overlaps else None,
        **{name: [round(metrics.mean(values), 4) for values in both] for name, both in measured.items()},
        **({"latency_ms_p50": [round(metrics.percentile(values, 50), 2) for values in times]} if overlaps else {}),
    }


def _ask_golden(served: Generation, generation: Generation, question: GoldenQuestion, comparison: Comparison) -> None:
    options: SearchOptions = {"audience": question.audience}
    found = _search_both(served, generation, question.question, question.filters or None, options, comparison)
    for side, hits in enumerate(found):
        ranking, grades = ranking_of(hits, question)
        comparison.figures["recall@10"][side].append(metrics.recall(ranking, grades, _TOP_K))
        comparison.figures["ndcg@10"][side].append(metrics.ndcg(ranking, grades, _TOP_K))


def _search_both(
    served: Generation,
    generation: Generation,
    query: str,
    filters: dict[str, Any] | None,
    options: SearchOptions,
    comparison: Comparison,
) -> list[list[Hit]]:
    found = []
    for side, compared in enumerate((served, generation)):
        hits, took_ms = _search(compared, query, filters, options)
        found.append(hits)
        comparison.times[side].append(took_ms)
    ours, theirs = ({hit.document_id for hit in hits} for hits in found)
    comparison.overlaps.append(len(ours & theirs) / len(ours) if ours else 1.0)
    return found


def _search(
    generation: Generation, query: str, filters: dict[str, Any] | None, options: SearchOptions
) -> tuple[list[Hit], float]:
    checked = check_query(generation.index.name, query, _TOP_K, filters, **options)
    checked.index.generation = generation
    record = execute_query(checked)
    return record.hits, record.embed_ms + record.sql_ms
