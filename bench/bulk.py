"""`POST /api/documents/bulk/` over one connection, beside the embedder alone on the same texts."""

import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence

import httpx
from asgiref.sync import sync_to_async
from django.conf import settings

from bench.figures import Goal, Row, Spread
from bench.indexing import articles
from bench.servers import uvicorn
from chat.models import ApiKey
from retrieval.embedders import get_embedder
from retrieval.indexing.chunking import split
from retrieval.models import Index


async def measure(*, is_quick: bool) -> list[Row]:
    return [await _measure(200 if is_quick else 2000)]


async def _measure(count: int) -> Row:
    """Send documents of a few chunks each into an index that is removed again; no text is known to it."""
    texts = articles(count)
    embedder = await sync_to_async(get_embedder)()
    passages = [passage.embedded_text for text in texts for passage in split("", text, embedder)]
    # Chance has its share on both sides: the embedder alone runs before and after.
    before = _rate_alone(passages[::2])
    name = f"bench-bulk-{uuid.uuid4().hex}"
    _, key = await sync_to_async(ApiKey.make)("bench", [ApiKey.Scope.INGEST])
    try:
        threads = str(settings.FABRA_EMBEDDING_THREADS)
        with uvicorn("fabra_project.asgi:application", FABRA_WEB="1", FABRA_EMBEDDING_THREADS=threads) as url:
            await _send(url, key, name, [f"Warm up {number}." for number in range(3)])
            seconds = await _send(url, key, name, texts)
    finally:
        await Index.objects.filter(name=name).aupdate(generation=None)
        await Index.objects.filter(name=name).adelete()
    alone = (before + _rate_alone(passages[1::2])) / 2
    rate = len(passages) / seconds
    return Row(
        what=f"NDJSON of {count:,}, embedder alone",
        ours=Spread(p50=rate, p95=rate), floor=Spread(p50=alone, p95=alone),
        goal=Goal(ratio=0.85, is_least=True), unit="/s", has_p95=False,
    )  # fmt: skip


def _rate_alone(passages: Sequence[str]) -> float:
    embedder = get_embedder()
    embedder.embed(passages[:32])
    started = time.perf_counter()
    embedder.embed(passages)
    return len(passages) / (time.perf_counter() - started)


async def _send(url: str, key: str, index_name: str, texts: Sequence[str]) -> float:
    """Send the texts and read the answers as they come; return the seconds."""

    async def lines() -> AsyncIterator[bytes]:
        for text in texts:
            yield json.dumps({"entity_id": uuid.uuid4().hex, "text": text}).encode() + b"\n"

    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    started = time.perf_counter()
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:  # noqa: S113 (a batch takes its time)
        answer = await client.post(
            f"{url}/api/documents/bulk/", params={"index_name": index_name}, content=lines(), headers=headers
        )
    if answer.text.count('"indexed"') != len(texts):
        raise RuntimeError(f"{answer.status_code} {answer.text[-500:]}")
    return time.perf_counter() - started
