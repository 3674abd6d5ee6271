"""The first fill of a model source, beside the embedder alone on the same texts, and its queries.

With BENCH_DOCUMENTS=100000 it has so many rows; `bench.bulk` has the texts.
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
from chat.models import Customer
from retrieval.embedders import get_embedder
from retrieval.indexing.chunking import split
from retrieval.model_sources.declaration import ModelSourceSpec, index_model, model_sources
from retrieval.model_sources.sync import sync
from retrieval.models import Index, ModelSource
from retrieval.sync_definitions import sync_model_sources

_PREFIX = "bench-fill-"
_MOST_ALONE = 4000


async def measure(*, is_quick: bool) -> list[Row]:
    count = int(os.environ.get("BENCH_DOCUMENTS", "0")) or (3000 if is_quick else 20_000)
    return await sync_to_async(_measure)(count)


def _measure(count: int) -> list[Row]:
    texts = notes(count)
    name = f"bench-fill-{uuid.uuid4().hex}"
    source = _declared(name, texts)
    embedder = get_embedder()
    passages = [passage.embedded_text for text in texts for passage in split("", text, embedder)]
    step = max(2, len(passages) // _MOST_ALONE)
    queries = _Queries()
    try:
        Customer.objects.bulk_create(
            (Customer(user_id=f"{_PREFIX}{number:07}") for number in range(count)), batch_size=5000
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


def _declared(index: str, texts: list[str]) -> ModelSourceSpec:
    """Declare the customers of the benchmark as documents, each with a text by its number."""

    @index_model(Customer, index=index)
    class BenchSource:
        def queryset(self) -> QuerySet[Customer]:
            return Customer.objects.filter(user_id__startswith=_PREFIX)

        def text(self, customer: Customer) -> str:
            return texts[int(customer.user_id.removeprefix(_PREFIX))]

    return next(source for source in model_sources.values() if source.index == index)


class _Queries:
    """Counts the statements of a connection."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Callable[..., Any], *args: Any) -> Any:
        self.count += 1
        return execute(*args)
