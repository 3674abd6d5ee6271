"""A cached retriever, against one raw GET and one primary-key read."""

from asgiref.sync import sync_to_async
from django.db import connection

from bench.figures import Goal, Row, interleaved
from common.redis import async_redis, redis_key
from retrieval.models import Index

QUESTION = "How do I reset my password?"


async def measure(*, is_quick: bool) -> list[Row]:
    from chat.definitions import INDEX, search_docs

    client = await async_redis()
    async for key in client.scan_iter(redis_key("retriever", "*")):
        await client.delete(key)
    hits = await search_docs(QUESTION, top_k=5)
    assert len(hits) == 5
    keys = [key async for key in client.scan_iter(redis_key("retriever", "*"))]
    assert len(keys) == 1, "the floor must read the entry that we read"
    index_id = (await Index.objects.aget(name=INDEX)).pk

    def read_version() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT version FROM retrieval_index WHERE id = %s", [index_id])
            cursor.fetchall()

    async def ours(number: int) -> None:
        await search_docs(QUESTION, top_k=5)

    async def floor(number: int) -> None:
        await client.get(keys[0])
        await sync_to_async(read_version)()

    await interleaved(ours, floor, rounds=100)
    times, floor_times = await interleaved(ours, floor, rounds=500 if is_quick else 2000)
    return [Row(what="retriever: cached, 5 hits", ours=times, floor=floor_times, goal=Goal(ratio=2))]
