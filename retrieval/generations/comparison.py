"""Compare a generation with the one that serves, by recent queries and golden questions."""

from collections.abc import Callable
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


def compare_generation(
    generation_id: int, queries: list[str] | None = None, on_done: Callable[[int], object] = lambda count: None
) -> dict[str, Any]:
    """Run the same queries against both generations; store and return the result.

    Golden questions give recall and nDCG; all queries give the share of documents that both generations find, and
    the median latency. Of two figures the first is for the generation that serves.
    """
    generation = Generation.objects.select_related("index__generation").get(pk=generation_id)
    index, served = generation.index, generation.index.generation
    assert served is not None
    overlaps: list[float] = []
    times: tuple[list[float], list[float]] = ([], [])
    figures: dict[str, tuple[list[float], list[float]]] = {"recall@10": ([], []), "ndcg@10": ([], [])}

    def search_both(query: str, filters: dict[str, Any] | None, options: SearchOptions) -> list[list[Hit]]:
        found = []
        for side, compared in enumerate((served, generation)):
            hits, took_ms = _search(compared, query, filters, options)
            found.append(hits)
            times[side].append(took_ms)
        ours, theirs = ({hit.document_id for hit in hits} for hits in found)
        overlaps.append(len(ours & theirs) / len(ours) if ours else 1.0)
        on_done(1)
        return found

    golden = list(GoldenQuestion.objects.enabled_in(index.name)[:_MAX_QUERIES])
    for question in golden:
        found = search_both(question.question, question.filters or None, {"audience": question.audience})
        for side, hits in enumerate(found):
            ranking, grades = ranking_of(hits, question)
            figures["recall@10"][side].append(metrics.recall(ranking, grades, _TOP_K))
            figures["ndcg@10"][side].append(metrics.ndcg(ranking, grades, _TOP_K))
    recent = recent_queries(index.pk, _MAX_QUERIES) if queries is None else queries
    for query in recent:
        search_both(query, None, {})
    result: dict[str, Any] = {
        "with": served.pk,
        "compared_at": timezone.now().isoformat(),
        "queries": len(recent),
        "golden_questions": len(golden),
        "overlap@10": round(metrics.mean(overlaps), 4) if overlaps else None,
        **{name: [round(metrics.mean(values), 4) for values in both] for name, both in figures.items() if golden},
        **({"latency_ms_p50": [round(metrics.percentile(values, 50), 2) for values in times]} if overlaps else {}),
    }
    Generation.objects.filter(pk=generation_id).update(comparison=result)
    return result


def _search(
    generation: Generation, query: str, filters: dict[str, Any] | None, options: SearchOptions
) -> tuple[list[Hit], float]:
    checked = check_query(generation.index.name, query, _TOP_K, filters, **options)
    checked.index.generation = generation
    record = execute_query(checked)
    return record.hits, record.embed_ms + record.sql_ms
