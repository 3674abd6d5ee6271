"""Searches of a large index: beside plain scans of its two indexes, and against the exact answer.

The floor that the goal is measured against has none of our own SQL, so that a slower ranking shows in the ratio.
"""

import resource
from dataclasses import replace
from itertools import accumulate
from statistics import mean
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection

from bench.corpus import filled_index
from bench.figures import Goal, Row, interleaved, say
from bench.questions import sample_questions
from common.sql.statements import planned_cursor
from retrieval.embedders import get_embedder
from retrieval.generations import hnsw
from retrieval.models import Index
from retrieval.search import execute
from retrieval.search.query import check_query
from retrieval.search.ranking import Ranking, candidate_count, ranking_sql

TOP_K = 5
SIZES = (10_000, 100_000)
_FILTERS: tuple[dict[str, Any], ...] = ({}, {"half": 0}, {"percent": 0}, {"rare": 0})


async def measure(*, is_quick: bool) -> list[Row]:
    sizes = SIZES[:1] if is_quick else SIZES
    rows = []
    for size in sizes:
        rows += await measure_size(size, rounds=2 if is_quick else 6)
    return rows


async def measure_size(size: int, *, rounds: int) -> list[Row]:
    index = await sync_to_async(filled_index)(size)
    questions = sample_questions()
    say(await sync_to_async(_index_use)(index, questions[0]))
    say(await sync_to_async(_sizes)(index))

    async def ours(number: int) -> None:
        await execute.search(index.name, questions[number % len(questions)], TOP_K)

    async def floor(number: int) -> None:
        index = number % len(questions)
        await sync_to_async(_plain_search)(questions[index], asked[index], *words[index])

    async def statement(number: int) -> None:
        await sync_to_async(bare_search)(index, questions[number % len(questions)])

    async def ranking(number: int) -> None:
        await sync_to_async(_execute)(asked[number % len(asked)], is_planned=True)

    async def legs(number: int) -> None:
        await sync_to_async(_bare_legs)(asked[number % len(asked)], *words[number % len(asked)])

    asked = [await sync_to_async(_ranking)(index, question) for question in questions]
    words = [await sync_to_async(_rarest)(query) for query in asked]
    # The first round of questions also brings the index into memory.
    await interleaved(ours, floor, rounds=len(questions))
    times, floor_times = await interleaved(ours, floor, rounds=rounds * len(questions))
    again, bare_times = await interleaved(ours, statement, rounds=rounds * len(questions))
    ranked, bare = await interleaved(ranking, legs, rounds=rounds * len(questions))
    # The exact answer of a million chunks takes some ten seconds a question.
    await sync_to_async(_say_recall)(index, questions[:: max(1, size // 200_000)])
    name = f"search: {size:,} chunks"
    return [
        Row(what=name, ours=times, floor=floor_times, goal=Goal(ratio=1.3)),
        Row(what=f"{name} | bare ranking", ours=again, floor=bare_times),
        Row(what=f"{name}, ranking | legs", ours=ranked, floor=bare),
    ]


def bare_search(index: Index, question: str) -> list[Any]:
    """Embed the question and run the ranking statement as any view would: no prepared plan, nothing around it."""
    return _execute(_ranking(index, question))


def _ranking(index: Index, question: str, filters: dict[str, Any] | None = None) -> Ranking:
    asked = check_query(index.name, question, TOP_K, filters)
    [vector] = get_embedder().embed([question])  # a model run of its own, shared with nobody
    return asked.ranking(
        vector, is_exact=False, limit=TOP_K, candidates=candidate_count(index.chunk_count, is_filtered=bool(filters))
    )


def _execute(ranking: Ranking, prefix: str = "", *, is_planned: bool = False) -> list[Any]:
    statement, parameters = ranking_sql(ranking)
    with planned_cursor() if is_planned else connection.cursor() as cursor:
        cursor.execute(prefix + statement, parameters)
        return cursor.fetchall()


def _plain_search(question: str, ranking: Ranking, words: str, idf: str) -> None:
    """Embed the question, run the two legs, and read the texts of as many chunks as are asked for."""
    get_embedder().embed([question])
    found = _bare_legs(ranking, words, idf)
    with connection.cursor() as cursor:
        cursor.execute("SELECT text, metadata FROM retrieval_chunk WHERE id = ANY(%s)", [found[:TOP_K]])
        cursor.fetchall()


def _bare_legs(ranking: Ranking, words: str, idf: str) -> list[int]:
    """Return what any ranking of two legs must read: the nearest vectors, and the best of the rarest words' chunks."""
    generation = f"generation_id = {ranking.generation_id}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM retrieval_chunk WHERE {generation} "
            f"ORDER BY embedding::halfvec({ranking.dimension}) <=> %s::halfvec LIMIT {ranking.candidates}",
            [ranking.vector],
        )
        found = cursor.fetchall()
        cursor.execute(
            f"SELECT id FROM retrieval_chunk WHERE {generation} AND lexemes @@ %s::tsquery "
            f"ORDER BY weights <#> %s::sparsevec LIMIT {ranking.candidates}",
            [words, idf],
        )
        found += cursor.fetchall()
    return [chunk_id for (chunk_id,) in found]


def _rarest(ranking: Ranking) -> tuple[str, str]:
    """Return a question's rarest words as a tsquery, and all of them weighed by idf as a sparse vector."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lexeme, sum(chunk_count), fabra_term(lexeme) FROM retrieval_lexemecount "
            f"WHERE generation_id = {ranking.generation_id} "
            "AND lexeme = ANY(tsvector_to_array(fabra_lexemes('english', %s))) GROUP BY lexeme ORDER BY 2",
            [ranking.queries[0][0]],
        )
        terms = cursor.fetchall()
    reach = list(accumulate(int(count) for _, count, _ in terms))
    words = [
        lexeme
        for (lexeme, _, _), reached in zip(terms, reach, strict=True)
        if reached <= max(settings.FABRA_LEXICAL_REACH * ranking.candidates, reach[0])
    ]
    idf = ",".join(f"{term}:{1 / int(count)}" for _, count, term in terms)
    return " | ".join(f"'{word}'" for word in words), f"{{{idf}}}/{2**28}"


def _say_recall(index: Index, questions: list[str]) -> None:
    """Tell how many of the exact ten best a search finds, with filters that leave less and less.

    Chunks of the same score are as good as each other.
    """
    for filters in _FILTERS:
        shares = []
        for question in questions:
            best = _execute(
                replace(_ranking(index, question, filters=filters), is_exact=True, limit=10, candidates=1000)
            )
            hits = execute.search_sync(index.name, question, 10, filters).hits
            least = min((row[9] for row in best), default=0.0) - 1e-5
            shares.append(sum(hit.score >= least for hit in hits) / max(len(best), 1))
        label = f"filter {filters}" if filters else "no filter"
        say(f"recall@10 against the exact answer, {label}: mean {mean(shares):.3f}, least {min(shares):.2f}")


def _sizes(index: Index) -> str:
    assert index.generation is not None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_relation_size(%s), pg_relation_size(%s), pg_total_relation_size('retrieval_chunk')",
            [hnsw.hnsw_name(index.generation.pk), hnsw.gin_name(index.generation.pk)],
        )
        graph, words, table = (size // 2**20 for size in cursor.fetchone())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return f"HNSW {graph:,} MB, GIN {words:,} MB, chunk table with all indexes {table:,} MB; this process {memory:,} MB"


def _index_use(index: Index, question: str) -> str:
    """Return a line that tells which indexes the planner takes."""
    assert index.generation is not None
    plan = [line for (line,) in _execute(_ranking(index, question), "EXPLAIN ")]
    names = {"HNSW": hnsw.hnsw_name(index.generation.pk), "GIN": hnsw.gin_name(index.generation.pk)}
    used = {kind: any(name in line for line in plan) for kind, name in names.items()}
    return "EXPLAIN: " + "; ".join(
        f"the {kind} is {'used' if is_used else 'NOT used'}" for kind, is_used in used.items()
    )
