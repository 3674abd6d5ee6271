"""A thousand updates of a hundred documents from eight publishers, while workers are killed.

Every document must end at its newest text, and every event be applied at most once; the rate stands beside that of
the embedder alone, for the same texts.
"""

import random
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection
from django.db.models import Count, F

from bench.events import INDEX, forget_documents, payload_of, text_of
from bench.figures import Row, Spread, say
from bench.servers import Program, beat, consumer, worker
from events.bus import RedisEventBus
from events.errors import EventBusUnavailable
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from retrieval.embedders import get_embedder
from retrieval.models import Chunk, Document, DocumentVersion, Index
from retrieval.search.execute import search_sync

DOCUMENTS, PUBLISHERS, WORKERS, KILLS = 100, 8, 2, 5
_PATIENCE_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Update:
    event: AxiomEvent
    is_by_bus: bool


async def measure(*, is_quick: bool) -> list[Row]:
    return await sync_to_async(_measure)(300 if is_quick else 1000)


def _measure(count: int) -> list[Row]:
    forget_documents()
    Event.objects.all().delete()
    texts = [text_of(f"burst {number} {time.time_ns()}") for number in range(count)]
    say(f"Starting {WORKERS} workers, beat and the consumer; {KILLS} times one of the workers will be killed ...")
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(1)) for _ in range(WORKERS)]
        stack.enter_context(beat())
        stack.enter_context(consumer())
        _warm_up()
        started = time.perf_counter()
        updates = _publish_all(texts)
        _kill_some(workers, count)
        _wait(lambda: _ended() > count, "all were processed")  # and the one that warmed up
        rate = count / (time.perf_counter() - started)
    _verify(updates)
    floor = _embedding_rate(texts)
    forget_documents()
    return [
        Row(
            what=f"burst: {count:,} updates, {KILLS} kills", unit="/s", has_p95=False,
            ours=Spread(p50=rate, p95=rate), floor=Spread(p50=floor, p95=floor),
        )
    ]  # fmt: skip


def _warm_up() -> None:
    """Wait until everything runs, with an event that is none of the burst's."""
    event = AxiomEvent(event_type="doc_updated", entity_id="warm-up", payload=payload_of("Warming up."))
    async_to_sync(RedisEventBus().publish)(event)
    _wait(lambda: Event.objects.filter(event_id=event.id, state="done").exists(), "the worker began")


def _publish_all(texts: list[str]) -> list[Update]:
    """Publish from threads, half of them through the bus and half into the outbox; documents are hit at random."""
    chance, updates = random.Random(1), []
    for number, text in enumerate(texts):
        entity_id = f"doc-{chance.randrange(DOCUMENTS)}"
        event = AxiomEvent(event_type="doc_updated", entity_id=entity_id, payload=payload_of(text))
        updates.append(Update(event=event, is_by_bus=bool(number % PUBLISHERS % 2)))
    published: list[Update] = []

    def publish(mine: list[Update]) -> None:
        for update in mine:
            # Its time is that of its publication, so that the newest is not the last one made.
            event = AxiomEvent(**{**vars(update.event), "occurred_at": datetime.now(UTC)})
            if update.is_by_bus:
                _publish_by_bus(event)
            else:
                record_event(event, Event.Source.API)
            published.append(Update(event=event, is_by_bus=update.is_by_bus))
        connection.close()

    threads = [threading.Thread(target=publish, args=(updates[n::PUBLISHERS],)) for n in range(PUBLISHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return published


def _publish_by_bus(event: AxiomEvent) -> None:
    """Publish until Redis takes it, as a publisher does: the same id twice is one event."""
    while True:
        try:
            async_to_sync(RedisEventBus().publish)(event)
        except EventBusUnavailable:
            continue
        return


def _kill_some(workers: list[Program], count: int) -> None:
    """Kill a worker each time that another part of the events is done, and start it again."""
    for number in range(KILLS):
        share = count * (number + 1) // (KILLS + 1)
        _wait(
            lambda share=share: Event.objects.filter(finished_at__isnull=False).count() >= share, f"{share} processed"
        )
        victim = workers[number % WORKERS]
        victim.kill()
        victim.restart()


def _ended() -> int:
    return Event.objects.filter(finished_at__isnull=False).count()


def _verify(updates: list[Update]) -> None:
    """Raise AssertionError unless nothing was lost, doubled or left at an older text."""
    ids = {update.event.id for update in updates}
    rows = dict(Event.objects.filter(event_id__in=ids).values_list("event_id", "state"))
    assert len(rows) == len(updates), f"{len(updates) - len(rows)} events were lost"
    assert set(rows.values()) <= {"done", "superseded"}, f"states: {set(rows.values())}"
    newest: dict[str, AxiomEvent] = {}
    for update in updates:
        known = newest.setdefault(update.event.entity_id, update.event)
        if update.event.occurred_at > known.occurred_at:
            newest[update.event.entity_id] = update.event
    documents = Document.objects.filter(index__name=INDEX)
    for entity_id, text in documents.values_list("entity_id", "version__text"):
        assert entity_id not in newest or text == newest[entity_id].payload["content"], f"{entity_id} is not the newest"
    doubled = DocumentVersion.objects.filter(document__index__name=INDEX).values("source").annotate(n=Count("pk"))
    assert not doubled.filter(n__gt=1).exists(), "an event was applied twice"
    chunks = Chunk.objects.filter(document__index__name=INDEX)
    assert not chunks.exclude(version=F("document__version")).exists(), "chunks of an older text are left"
    assert chunks.count() == Index.objects.get(name=INDEX).chunk_count, "the number of chunks drifted"
    some = next(iter(newest.values()))
    assert search_sync(INDEX, some.payload["content"][:60], 1).hits[0].document_id == some.entity_id
    states = {state: [*rows.values()].count(state) for state in sorted(set(rows.values()))}
    say(f"Each document is at its newest text; no event was lost or applied twice: {states}.")


def _embedding_rate(texts: list[str]) -> float:
    embedder = get_embedder()
    embedder.embed(texts[:20])
    started = time.perf_counter()
    for text in texts:
        embedder.embed([text])
    return len(texts) / (time.perf_counter() - started)


def _wait(what: Any, until: str) -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while not what():
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"It did not come to it that {until}.")
        time.sleep(0.1)
