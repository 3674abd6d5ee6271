"""Events in real workers: entities in parallel, and a slow handler that holds up no other."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.signals import worker_process_init

from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from fabra_project.celery import app
from tests.processes import Processes, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path, FABRA_DEFINITIONS="tests.events.worker_definitions") as processes:
        processes.start_worker(concurrency=2)
        yield processes


def record(event_type: str, entity_id: str, **payload: Any) -> Event:
    event = AxiomEvent(event_type=event_type, entity_id=entity_id, payload=payload)
    return record_event(event, Event.Source.API)[0]


def is_done(*rows: Event) -> bool:
    return Event.objects.filter(pk__in=[row.pk for row in rows], state=Event.State.DONE).count() == len(rows)


def test_entities_go_in_parallel_and_a_slow_one_holds_up_no_other(worker: Processes, tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("one", "two", "never", "end")]
    # Each waits for the other to have begun: one after the other they would wait for ever.
    both = [
        record("waited", "b1", begun=files[0], until=files[1]),
        record("waited", "b2", begun=files[1], until=files[0]),
    ]
    wait_until(lambda: is_done(*both))
    slow = record("waited", "b3", begun=files[2], until=files[3])
    wait_until(Path(files[2]).exists)
    others = [record("poked", f"b{number}", number=number) for number in range(5)]
    document = record("doc_updated", "d1", content="Penguins.")
    wait_until(lambda: is_done(*others, document))
    assert not is_done(slow)
    Path(files[3]).touch()
    wait_until(lambda: is_done(slow))


@pytest.mark.parametrize(("queues", "is_loaded"), [("state", True), ("default,materialize", False), (None, True)])
def test_a_worker_for_documents_loads_the_model_as_it_starts(
    queues: str | None, is_loaded: bool, monkeypatch: pytest.MonkeyPatch, embedder: Any, settings: Any
) -> None:
    settings.FABRA_EMBEDDING_MODEL = f"{uuid.uuid4()}-256"  # one that this process has not loaded yet
    monkeypatch.setattr(app.amqp.queues, "_consume_from", None)
    if queues:
        app.amqp.queues.select(queues.split(","))
    app.loader.import_default_modules()  # as a worker does
    worker_process_init.send(None)
    assert (settings.FABRA_EMBEDDING_MODEL in embedder.loaded) is is_loaded
