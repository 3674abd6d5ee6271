"""The first fill of a model source, beside the embedder alone on the same texts, and its queries.

With BENCH_DOCUMENTS=100000 it has so many rows, and with BENCH_CHARS=2000 texts of so many characters; `bench.bulk` has
short ones. A row has a relation and an audience.
"""

import os
import time
import uuid
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection
from django.db.models import QuerySet

from bench.bulk import notes, rate_alone
from bench.figures import Bound, Goal, Row, Spread
from bench.questions import sample_words
from chat.models import Customer, Ticket
from retrieval.embedders import get_embedder
from retrieval.indexing.chunking import split, title_of
from retrieval.model_sources.declaration import ModelSourceSpec, index_model, model_sources
from retrieval.model_sources.sync import sync
from retrieval.models import Index, ModelSource
from retrieval.sync_definitions import sync_model_sources

_PREFIX, _FIRST = "bench-fill-", 1_000_000_000
_MOST_ALONE = 4000


async def measure(*, is_quick: bool) -> list[Row]:
    count = int(os.environ.get("BENCH_DOCUMENTS", "0")) or (3000 if is_quick else 20_000)
    return await sync_to_async(_measure)(count)


def _measure(count: int) -> list[Row]:
    texts = _texts(count)
    name = f"bench-fill-{uuid.uuid4().hex}"
    source = _declared(name, texts)
    embedder = get_embedder()
    passages = [passage.embedded_text for text in texts for passage in split(title_of(text), text, embedder)]
    step = max(2, len(passages) // _MOST_ALONE)
    queries = _Queries()
    try:
        owners = Customer.objects.bulk_create(Customer(user_id=f"{_PREFIX}{n}", tier=f"tier {n}") for n in range(10))
        Ticket.objects.bulk_create(
            (Ticket(customer=owners[number % 10], number=_FIRST + number) for number in range(count)), batch_size=5000
        )
        sync_model_sources()
        before = rate_alone(passages[::step])
        started = time.perf_counter()
        with connection.execute_wrapper(queries):
            is_finished = sync(source)
        seconds = time.perf_counter() - started
        row = ModelSource.objects.get(name=source.name)
        if not is_finished or row.changed != count:
            raise RuntimeError(f"{row.changed:,} of {count:,} were indexed: {row.error}")
        alone = (before + rate_alone(passages[1::step])) / 2
    finally:
        del model_sources[source.name]
        Customer.objects.filter(user_id__startswith=_PREFIX).delete()
        ModelSource.objects.filter(name=source.name).delete()
        Index.objects.filter(name=name).update(generation=None)
        Index.objects.filter(name=name).delete()
    rate = len(passages) / seconds
    return [
        Row(
            what=f"first fill of {count:,} rows, embedder alone",
            ours=Spread(p50=rate, p95=rate), floor=Spread(p50=alone, p95=alone),
            goal=Goal(ratio=0.85, is_least=True), unit="/s", has_p95=False,
        ),
        Row.of_value("  queries for 1,000 rows", 1000 * queries.count / count, Bound(value=20)),
    ]  # fmt: skip


def _texts(count: int) -> list[str]:
    chars = int(os.environ.get("BENCH_CHARS", "0"))
    if not chars:
        return notes(count)
    words = sample_words()
    text = " ".join(words)
    most = max(1, len(text) - chars)
    return [f"# Row {number}\n\n{text[number * 373 % most :][:chars]}" for number in range(count)]


def _declared(index: str, texts: list[str]) -> ModelSourceSpec:
    """Declare the tickets of the benchmark as documents, each with a text by its number."""

    @index_model(Ticket, index=index)
    class BenchSource:
        def queryset(self) -> QuerySet[Ticket]:
            return Ticket.objects.filter(customer__user_id__startswith=_PREFIX)

        def text(self, ticket: Ticket) -> str:
            return texts[ticket.number - _FIRST]

        def title(self, ticket: Ticket) -> str:
            return ""  # the text's own heading, as the embedder alone has it

        def audience(self, ticket: Ticket) -> list[str]:
            return [ticket.customer.tier]

    return next(source for source in model_sources.values() if source.index == index)


class _Queries:
    """Counts the statements of a connection."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Callable[..., Any], *args: Any) -> Any:
        self.count += 1
        return execute(*args)
