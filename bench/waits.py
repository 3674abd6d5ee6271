"""How long a small event waits beside long work, on the workers of `make up`.

Beside it are two materialisations, an ingestion that a second generation follows, and an HNSW build.

A `message_sent` event every half a second, from its commit until a worker takes it; the floor is the same with nothing
beside it.
"""

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from asgiref.sync import sync_to_async
from django.db.models import F

from bench.corpus import filled_index
from bench.figures import Bound, Limit, Row, Spread, say
from bench.questions import sample_words
from bench.servers import Program, beat
from bench.surroundings import user_ids
from common.locks import is_held
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from fabra_project.stack.bot import WORKERS, worker_words
from features.dispatch import enqueue_run
from features.materialization.requests import request_run
from features.models import MaterializationRun
from retrieval.dispatch import enqueue_hnsw_build, start_ingestion
from retrieval.generations import hnsw, lifecycle
from retrieval.indexing.documents import ensure_index
from retrieval.ingestion.runs import RunOptions, open_run
from retrieval.models import Document, Generation, Index, IngestionRun

EVERY_S = 0.5
CHUNKS, QUICK_CHUNKS = 100_000, 10_000
ENTITIES, QUICK_ENTITIES = 20_000, 2_000
"""How many keys the feature has that is materialised: one of one key that asks the database, the slowest kind."""
FILES, QUICK_FILES = 300, 60
ALONE_S, MOST_S, QUICK_MOST_S = 15, 600, 90
_INDEX = "bench-waits"
_WORDS = 1500
_GOAL, _LONGEST = Limit(p50=1000, p95=5_000), Bound(value=20)
"""The longest wait of all is that of a slice, in seconds."""
_FEATURES = ("user_tier", "support_history")
_PATIENCE_S = 120


async def measure(*, is_quick: bool) -> list[Row]:
    return await sync_to_async(_measure)(is_quick)


def _measure(is_quick: bool) -> list[Row]:
    index = filled_index(QUICK_CHUNKS if is_quick else CHUNKS)
    assert index.generation is not None
    _forget()
    say(f"Starting the workers of `make up` ({', '.join(WORKERS)}) and beat ...")
    with ExitStack() as stack:
        for name in WORKERS:
            stack.enter_context(Program("-m", "celery", *worker_words(name)))
        stack.enter_context(beat())
        _send(1)
        _wait_for_all()
        alone = _send(ALONE_S)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        materializations, ingestion = _begin(index.generation.pk, folder, is_quick)
        started = time.monotonic()
        ours: list[int] = []
        while time.monotonic() < started + (QUICK_MOST_S if is_quick else MOST_S):
            ours += _send(5)
            going = _going(index.generation.pk, materializations, ingestion)
            if not going:
                break
            say(f"... {time.monotonic() - started:.0f} s, still going: {', '.join(going)}")
        _wait_for_all()
    waits, floor = _waits(ours), _waits(alone)
    _forget()
    return [
        Row(what="waits: event beside long work", ours=Spread.of(waits), floor=Spread.of(floor), goal=_GOAL),
        Row.of_value(
            f"waits: the longest of {len(waits)}", max(waits) / 1000, _LONGEST, floor=max(floor) / 1000, unit="s"
        ),
    ]


def _begin(generation_id: int, folder: Path, is_quick: bool) -> tuple[list[int], int]:
    """Start all of it, and return the ids of the materialisations and of the ingestion."""
    words = sample_words()
    for number in range(QUICK_FILES if is_quick else FILES):
        start = number * 131 % (len(words) - _WORDS)
        (folder / f"article-{number}.md").write_text(f"# Article {number}\n\n{' '.join(words[start : start + _WORDS])}")
    keys = [f"bench_entity_{number}" for number in range(QUICK_ENTITIES if is_quick else ENTITIES)]
    runs = [request_run(feature, keys).pk for feature in _FEATURES]
    for run in runs:
        enqueue_run(run)
    following = lifecycle.open_generation(ensure_index(_INDEX)[0], max_tokens=100)
    lifecycle.execute_build(following.pk)  # of nothing yet: it follows what is ingested
    ingestion = open_run(_INDEX, str(folder), RunOptions())
    start_ingestion(ingestion)
    enqueue_hnsw_build(generation_id, is_rebuild=True)
    return runs, ingestion.pk


def _going(generation_id: int, materializations: list[int], ingestion: int) -> list[str]:
    found = {
        "materialisations": MaterializationRun.objects.all().unfinished().filter(pk__in=materializations).exists(),
        "ingestion": IngestionRun.objects.unfinished().filter(pk=ingestion).exists(),
        "HNSW": is_held(hnsw.hnsw_name(generation_id)),
    }
    return [name for name, is_going in found.items() if is_going]


def _send(seconds: float) -> list[int]:
    """Send an event every EVERY_S for so long; return their primary keys."""
    pks, users = [], user_ids()
    for number in range(max(1, round(seconds / EVERY_S))):
        event = AxiomEvent(event_type="message_sent", entity_id=users[number % len(users)], payload={})
        pks.append(record_event(event, Event.Source.API)[0].pk)
        time.sleep(EVERY_S)
    return pks


def _wait_for_all() -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while Event.objects.filter(event_type="message_sent", started_at=None).exists():
        if time.monotonic() > give_up_at:
            raise RuntimeError("Events wait for longer than two minutes.")
        time.sleep(0.1)


def _waits(pks: list[int]) -> list[float]:
    """Return the milliseconds from each event's receipt until a worker took it."""
    moments = Event.objects.filter(pk__in=pks).values_list("received_at", "started_at")
    return [(taken - received).total_seconds() * 1000 for received, taken in moments if taken]


def _forget() -> None:
    IngestionRun.objects.filter(index__name=_INDEX).delete()
    Document.objects.filter(index__name=_INDEX).delete()
    Generation.objects.filter(index__name=_INDEX).exclude(pk=F("index__generation")).delete()
    Index.objects.filter(name=_INDEX).update(chunk_count=0)
    MaterializationRun.objects.filter(feature__in=_FEATURES).delete()
    Event.objects.filter(event_type="message_sent").delete()
