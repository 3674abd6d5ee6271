"""A follow-up's search beside a first question's: the same question, with seven earlier ones whose vectors are kept."""

import random
from statistics import median

from asgiref.sync import sync_to_async

from bench.corpus import filled_index
from bench.figures import Goal, Row, Work, interleaved, say
from bench.questions import different_questions
from retrieval.embedders import embedder_of
from retrieval.models import Index
from retrieval.search import execute
from retrieval.search.history import MAX_QUESTIONS
from retrieval.search.hits import SearchRecord
from retrieval.search.questions import EarlierQuestion, Embedding

SIZE = 10_000
TOP_K = 5
_CONVERSATIONS = 40
_WARM_UP = 20


async def measure(*, is_quick: bool) -> list[Row]:
    index = await sync_to_async(filled_index)(SIZE)
    # Each question is asked once: the process remembers those that it has embedded for a conversation.
    questions = random.Random(3).sample(different_questions(), k=len(different_questions()))
    asked, others = questions[: 100 if is_quick else 400], questions[-_CONVERSATIONS * (MAX_QUESTIONS - 1) :]
    step = MAX_QUESTIONS - 1
    conversations = [
        await sync_to_async(_embedded)(index, others[start : start + step]) for start in range(0, len(others), step)
    ]
    follow_ups: list[SearchRecord] = []
    firsts: list[SearchRecord] = []
    await interleaved(*_works(index, questions[500:], conversations, [], []), rounds=_WARM_UP)
    works = _works(index, asked, conversations, follow_ups, firsts)
    times, floor_times = await interleaved(*works, rounds=len(asked))
    for what, records in (("follow-up", follow_ups), ("first question", firsts)):
        embed, sql = (median(getattr(record, name) for record in records) for name in ("embed_ms", "sql_ms"))
        say(f"{what}: embedding {embed:.2f} ms, SQL {sql:.2f} ms")
    return [Row(what=f"search: follow-up | first, {SIZE:,}", ours=times, floor=floor_times, goal=Goal(ratio=1.1))]


def _works(
    index: Index,
    questions: list[str],
    conversations: list[list[EarlierQuestion]],
    follow_ups: list[SearchRecord],
    firsts: list[SearchRecord],
) -> tuple[Work, Work]:
    search = sync_to_async(execute.search_sync)

    async def follow_up(number: int) -> None:
        history = conversations[number % len(conversations)]
        follow_ups.append(await search(index.name, questions[number], TOP_K, history=history))

    async def first(number: int) -> None:
        firsts.append(await search(index.name, questions[number], TOP_K))

    return follow_up, first


def _embedded(index: Index, questions: list[str]) -> list[EarlierQuestion]:
    assert index.generation is not None
    embedder = embedder_of(index.generation)
    return [
        EarlierQuestion(text, embedding=Embedding(model=embedder.model, vector=embedder.embed_query(text)))
        for text in questions
    ]
