"""`POST /api/documents/bulk/` over one connection, beside the embedder alone on the same texts.

With BENCH_DOCUMENTS=100000 so many short documents are sent instead, of one chunk each.
"""

import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Sequence

import httpx
from asgiref.sync import sync_to_async
from django.conf import settings

from bench.figures import Goal, Row, Spread
from bench.indexing import articles
from bench.questions import sample_words
from bench.servers import uvicorn
from chat.models import ApiKey
from retrieval.embedders import get_embedder
from retrieval.indexing.chunking import split
from retrieval.models import Index

_NOTE_WORDS = 40
_MOST_ALONE = 4000
"""So many passages are embedded alone, before and after."""


async def measure(*, is_quick: bool) -> list[Row]:
    if count := int(os.environ.get("BENCH_DOCUMENTS", "0")):
        return [await _measure(notes(count), "short documents")]
    return [await _measure(articles(200 if is_quick else 2000), "articles")]


def notes(count: int) -> list[str]:
    """Return texts of one chunk each, all different."""
    words = sample_words()
    starts = (number * 37 % (len(words) - _NOTE_WORDS) for number in range(count))
    return [f"# Note {number}\n\n" + " ".join(words[at : at + _NOTE_WORDS]) for number, at in enumerate(starts)]


async def _measure(texts: Sequence[str], what: str) -> Row:
    """Send documents into an index that is removed again; no text is known to it."""
    embedder = await sync_to_async(get_embedder)()
    passages = [passage.embedded_text for text in texts for passage in split("", text, embedder)]
    # Chance has its share on both sides: the embedder alone runs before and after.
    step = max(2, len(passages) // _MOST_ALONE)
    before = rate_alone(passages[::step])
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
    alone = (before + rate_alone(passages[1::step])) / 2
    rate = len(passages) / seconds
    return Row(
        what=f"NDJSON of {len(texts):,} {what}, embedder alone",
        ours=Spread(p50=rate, p95=rate), floor=Spread(p50=alone, p95=alone),
        goal=Goal(ratio=0.85, is_least=True), unit="/s", has_p95=False,
    )  # fmt: skip


def rate_alone(passages: Sequence[str]) -> float:
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
