"""A search of a large index, embedding included, against the embedding and the bare SQL of the same ranking."""

from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection

from bench.corpus import filled_index
from bench.figures import Goal, Row, interleaved, say
from bench.questions import sample_questions
from retrieval import hnsw, search
from retrieval.embedders import get_embedder
from retrieval.models import Index
from retrieval.ranking import CANDIDATES, ranking_sql

TOP_K = 5


async def measure(*, is_quick: bool) -> list[Row]:
    size = 10_000 if is_quick else 100_000
    index = await sync_to_async(filled_index)(size)
    questions = sample_questions()
    say(await sync_to_async(_index_use)(index, questions[0]))

    async def ours(number: int) -> None:
        await search.search(index.name, questions[number % len(questions)], TOP_K)

    async def floor(number: int) -> None:
        await sync_to_async(bare_search)(index, questions[number % len(questions)])

    # The first round of questions also brings the index into memory.
    await interleaved(ours, floor, rounds=len(questions))
    times, floor_times = await interleaved(ours, floor, rounds=(2 if is_quick else 6) * len(questions))
    return [Row(what=f"search: {size:,} chunks", ours=times, floor=floor_times, goal=Goal(ratio=1.3))]


def bare_search(index: Index, question: str, prefix: str = "") -> list[Any]:
    """Embed the question and run the ranking statement, with nothing around it."""
    asked = search.ask(index.name, question, TOP_K)
    vector = get_embedder().embed_query(question)
    ranking = asked.ranking(vector, is_exact=False, limit=TOP_K, candidates=CANDIDATES)
    statement, parameters = ranking_sql(ranking)
    with connection.cursor() as cursor:
        cursor.execute(prefix + statement, parameters)
        return cursor.fetchall()


def _index_use(index: Index, question: str) -> str:
    """Return a line that tells which indexes the planner takes."""
    assert index.generation is not None
    plan = [line for (line,) in bare_search(index, question, "EXPLAIN ")]
    scans = [line.strip(" ->").split("  (")[0] for line in plan if " Scan " in line and "retrieval_chunk" in line]
    scans += [line.strip(" ->").split("  (")[0] for line in plan if "Bitmap Index Scan" in line]
    is_used = any(hnsw.hnsw_name(index.generation.pk) in line for line in plan)
    return f"EXPLAIN: the HNSW of the generation is {'used' if is_used else 'NOT used'}: {'; '.join(scans)}"
