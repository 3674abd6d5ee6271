"""Compare a generation with the one that serves, by the questions that were asked and the golden ones."""

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
    """Ask both generations the same questions; keep and return what came of it.

    Golden questions give recall and nDCG; all questions give the share of documents that both find, and the
    time. Of two figures the first is of the generation that serves.
    """
    generation = Generation.objects.select_related("index__generation").get(pk=generation_id)
    index, served = generation.index, generation.index.generation
    assert served is not None
    overlaps: list[float] = []
    times: tuple[list[float], list[float]] = ([], [])
    figures: dict[str, tuple[list[float], list[float]]] = {"recall@10": ([], []), "ndcg@10": ([], [])}

    def ask_both(query: str, filters: dict[str, Any] | None, options: SearchOptions) -> list[list[Hit]]:
        found = []
        for place, each in enumerate((served, generation)):
            hits, took_ms = _ask(each, query, filters, options)
            found.append(hits)
            times[place].append(took_ms)
        ours, theirs = ({hit.document_id for hit in hits} for hits in found)
        overlaps.append(len(ours & theirs) / len(ours) if ours else 1.0)
        on_done(1)
        return found

    golden = list(GoldenQuestion.objects.to_ask(index.name)[:_MAX_QUERIES])
    for each in golden:
        found = ask_both(each.question, each.filters or None, {"audience": each.audience})
        for place, hits in enumerate(found):
            ranking, grades = ranking_of(hits, each)
            figures["recall@10"][place].append(metrics.recall(ranking, grades, _TOP_K))
            figures["ndcg@10"][place].append(metrics.ndcg(ranking, grades, _TOP_K))
    asked = recent_queries(index.pk, _MAX_QUERIES) if queries is None else queries
    for query in asked:
        ask_both(query, None, {})
    result: dict[str, Any] = {
        "with": served.pk,
        "compared_at": timezone.now().isoformat(),
        "queries": len(asked),
        "golden_questions": len(golden),
        "overlap@10": round(metrics.mean(overlaps), 4) if overlaps else None,
        **{name: [round(metrics.mean(each), 4) for each in both] for name, both in figures.items() if golden},
        **({"latency_ms_p50": [round(metrics.percentile(each, 50), 2) for each in times]} if overlaps else {}),
    }
    Generation.objects.filter(pk=generation_id).update(comparison=result)
    return result


def _ask(
    generation: Generation, query: str, filters: dict[str, Any] | None, options: SearchOptions
) -> tuple[list[Hit], float]:
    question = check_query(generation.index.name, query, _TOP_K, filters, **options)
    question.index.generation = generation
    record = execute_query(question)
    return record.hits, record.embed_ms + record.sql_ms
