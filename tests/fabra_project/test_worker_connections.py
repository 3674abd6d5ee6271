"""A worker's process keeps its connection to PostgreSQL from one task to the next, unless it was lost or may be bad."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.app.trace import build_tracer
from django.db import connection

from events.dispatch import DEFAULT_QUEUE
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from events.tasks import process_event, sweep
from fabra_project.celery import app
from tests.processes import Processes, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[None]:
    with Processes(tmp_path) as processes:
        processes.start_worker(concurrency=1)
        yield


def do_task(number: int) -> Event:
    """Have the worker do a task to its end."""
    pk = record_event(AxiomEvent(event_type="message_sent", entity_id=f"user_{number}", payload={}), Event.Source.API)[
        0
    ].pk
    return wait_until(lambda: Event.objects.filter(pk=pk, state=Event.State.DONE).first())


def connections() -> set[int]:
    """Return PostgreSQL's processes for this database, without the test's own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        return {pid for (pid,) in cursor.fetchall()}


def test_tasks_share_a_connection_until_it_is_lost(worker: None) -> None:
    do_task(0)
    first = connections()
    do_task(1)
    assert first and connections() == first
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [list(first)])
    wait_until(lambda: not connections() & first)
    assert do_task(2).attempts == 1
    assert connections() and not connections() & first


def test_a_task_that_failed_leaves_no_connection(worker: None) -> None:
    """A time limit may have ended it within a statement, or before a lock of the connection was released."""
    do_task(0)
    first = connections()
    process_event.apply_async(("no number",), queue=DEFAULT_QUEUE)
    wait_until(lambda: not connections() & first)
    assert do_task(1).attempts == 1


def test_statements_that_are_kept_for_debugging_are_those_of_one_task(settings: Any) -> None:
    settings.DEBUG = True
    run = build_tracer(sweep.name, sweep, app=app)

    def kept_by_a_task() -> int:
        run("a", (), {}, {"id": "a", "is_eager": False})
        return len(connection.queries_log)

    assert 0 < kept_by_a_task() == kept_by_a_task()
