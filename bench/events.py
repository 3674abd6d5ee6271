"""From the publication of a one-chunk document to its text being searchable, against indexing it on the spot."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
from asgiref.sync import async_to_sync, sync_to_async

from bench.figures import Limit, Row, Spread, say
from bench.questions import sample_words
from bench.servers import consumer, uvicorn, worker
from chat.models import ApiKey
from events.bus import RedisEventBus
from events.event import AxiomEvent
from events.models import Event, WebhookSource
from events.webhooks import sign
from retrieval.indexing.documents import index_document
from retrieval.models import Document, Index

INDEX, FLOOR_INDEX = "bench-events", "bench-events-floor"
_WORDS = 80
_PATIENCE_S = 60.0
Publish = Callable[[str, str, str], None]
"""Publishes an event of this id, for this document, with this text."""


async def measure(*, is_quick: bool) -> list[Row]:
    return await sync_to_async(_measure)(40 if is_quick else 120)


def _measure(rounds: int) -> list[Row]:
    forget_documents()
    say("Starting the web process, a worker with two processes, and the consumer of the stream ...")
    with ExitStack() as stack:
        url = stack.enter_context(uvicorn("fabra_project.asgi:application", FABRA_WEB="1"))
        stack.enter_context(worker(2))
        stack.enter_context(consumer())
        client = stack.enter_context(httpx.Client(base_url=url, trust_env=False))
        sources = {"REST": _rest(client), "webhook": _webhook(client), "RedisEventBus": _bus, "saved row": _save}
        for publish in [*sources.values()] * 4:
            _publish_and_wait(publish, -1)
        times: dict[str, list[float]] = {name: [] for name in sources}
        floor_times: list[float] = []
        for number in range(rounds):
            for name, publish in sources.items():
                times[name].append(_publish_and_wait(publish, number))
            started = time.perf_counter()
            index_document(FLOOR_INDEX, f"doc-{number % 10}", text_of(f"floor {number}"))
            floor_times.append((time.perf_counter() - started) * 1000)
    forget_documents()
    floor, goal = Spread.of(floor_times), Limit(p50=150, p95=500)
    return [
        Row(what=f"events: {name} to searchable", ours=Spread.of(samples), floor=floor, goal=goal)
        for name, samples in times.items()
    ]


def text_of(mark: str) -> str:
    """Return a text of one chunk that nobody has embedded before."""
    words = sample_words()
    start = hash(mark) % (len(words) - _WORDS)
    return f"{mark} {' '.join(words[start : start + _WORDS])}"


def forget_documents() -> None:
    Document.objects.filter(index__name__in=[INDEX, FLOOR_INDEX]).delete()
    Index.objects.filter(name__in=[INDEX, FLOOR_INDEX]).update(chunk_count=0)


def payload_of(text: str) -> dict[str, Any]:
    return {"index": INDEX, "content": text}


def _publish_and_wait(publish: Publish, number: int) -> float:
    """Return the milliseconds from before the publication to the commit that searches see."""
    mark = f"{publish.__qualname__} {number} {time.time_ns()}"
    document = f"doc-{number % 10}"
    started = time.time()
    publish(mark, document, text_of(mark))
    while True:
        time.sleep(0.02)
        row = Event.objects.filter(entity_id=document).order_by("-id").first()
        if row is not None and row.payload["content"].startswith(mark) and row.applied_at is not None:
            return (row.applied_at.timestamp() - started) * 1000
        if time.time() > started + _PATIENCE_S:
            raise RuntimeError(f"{mark} was not applied")


def _rest(client: httpx.Client) -> Publish:
    _, key = ApiKey.make("bench", [ApiKey.Scope.INGEST])

    def publish(mark: str, document: str, text: str) -> None:
        body = {"event_type": "doc_updated", "entity_id": document, "payload": payload_of(text), "id": mark[-90:]}
        client.post("/api/events/", json=body, headers={"Authorization": f"Bearer {key}"}).raise_for_status()

    return publish


def _webhook(client: httpx.Client) -> Publish:
    source, _ = WebhookSource.objects.get_or_create(name="bench")

    def publish(mark: str, document: str, text: str) -> None:
        # The signature's time is in whole seconds, before those of the events just published.
        fields = {"event_type": "doc_updated", "entity_id": document, "occurred_at": time.time()}
        body, now = json.dumps({**fields, "payload": payload_of(text)}).encode(), str(int(time.time()))
        headers = {"X-Fabra-Timestamp": now, "X-Fabra-Signature": sign(source.secret, now, body)}
        client.post("/webhooks/bench/", content=body, headers=headers).raise_for_status()

    return publish


def _bus(mark: str, document: str, text: str) -> None:
    event = AxiomEvent(event_type="doc_updated", entity_id=document, payload=payload_of(text))
    async_to_sync(RedisEventBus().publish)(event)


def _save(mark: str, document: str, text: str) -> None:
    row = Document.objects.filter(index__name=INDEX, entity_id=document).first()
    row = row or Document(index=Index.objects.get(name=INDEX), entity_id=document)
    row.text = text
    row.save()
