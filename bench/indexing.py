"""Bulk indexing beside the embedder alone on the same texts."""

import time
import uuid

from asgiref.sync import sync_to_async

from bench.figures import Goal, Row, Spread
from bench.questions import sample_words
from retrieval.embedders import get_embedder
from retrieval.indexing.bulk import Draft, index_in_bulk
from retrieval.indexing.chunking import split
from retrieval.models import Index

_WORDS, _BATCH = 450, 32


async def measure(*, is_quick: bool) -> list[Row]:
    return [await sync_to_async(_measure)(160 if is_quick else 480)]


def articles(count: int) -> list[str]:
    """Return texts of a few chunks each, all different."""
    words = sample_words()
    return [
        f"# Article {number}\n\n"
        + "\n\n".join(" ".join(words[start : start + 90]) for start in range(at, at + _WORDS, 90))
        for number in range(count)
        for at in [number * 37 % (len(words) - _WORDS)]
    ]


def _measure(count: int) -> Row:
    """Index documents of a few chunks each into an index that is removed again; no text is known to it."""
    texts = articles(count)
    embedder = get_embedder()
    passages = [passage.embedded_text for text in texts for passage in split("", text, embedder)]
    embedder.embed(passages[:32])
    name = f"bench-bulk-{uuid.uuid4().hex}"
    try:
        started = time.perf_counter()
        drafts = [Draft(entity_id=f"doc-{number}", text=text) for number, text in enumerate(texts)]
        for _ in index_in_bulk(name, (drafts[at : at + _BATCH] for at in range(0, count, _BATCH))):
            pass
        ours = time.perf_counter() - started
        started = time.perf_counter()
        embedder.embed(passages)
        alone = time.perf_counter() - started
    finally:
        Index.objects.filter(name=name).update(generation=None)
        Index.objects.filter(name=name).delete()
    rate, floor = len(passages) / ours, len(passages) / alone
    return Row(
        what="bulk indexing, embedder alone", ours=Spread(p50=rate, p95=rate), floor=Spread(p50=floor, p95=floor),
        goal=Goal(ratio=0.85, is_least=True), unit="/s", has_p95=False,
    )  # fmt: skip
