"""The assembly of the support bot's premium context with its durable trace, beside one INSERT of the same bytes."""

from asgiref.sync import sync_to_async
from django.db import connection

from bench.features import USER
from bench.figures import Row, interleaved
from bench.retriever import QUESTION
from contexts.models import TraceBody


async def measure(*, is_quick: bool) -> list[Row]:
    from chat.definitions import chat_context_premium, store

    await store.set_feature("message_count", USER, 7)
    context = await chat_context_premium(user_id=USER, query=QUESTION)
    body = (await TraceBody.objects.aget(trace_id=context.id)).text

    async def ours(number: int) -> None:
        await chat_context_premium(user_id=USER, query=QUESTION)

    async def floor(number: int) -> None:
        await sync_to_async(insert_row)(body)

    await interleaved(ours, floor, rounds=30)
    times, floor_times = await interleaved(ours, floor, rounds=200 if is_quick else 800)
    size = len(body.encode()) / 1000
    return [Row(what=f"assembly: traced / {size:.0f} kB INSERT", ours=times, floor=floor_times)]


def insert_row(body: str) -> None:
    """Write a row as long as a trace; the connection commits it by itself."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_row (body) VALUES (%s)", [body])
