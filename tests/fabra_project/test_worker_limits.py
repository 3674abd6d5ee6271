"""A worker's process is replaced after so many tasks, or when it takes too much memory."""

from pathlib import Path

import psutil
import pytest

from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from tests.processes import Processes, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def process_of(worker: psutil.Process) -> int | None:
    """Return the id of the worker's only process for tasks, if it is there at the moment."""
    children = worker.children()
    return children[0].pid if len(children) == 1 else None


def do_task(number: int) -> None:
    """Have the worker do a task to its end."""
    event = AxiomEvent(event_type="message_sent", entity_id=f"user_{number}", payload={})
    pk = record_event(event, Event.Source.API)[0].pk
    wait_until(lambda: Event.objects.filter(pk=pk, state=Event.State.DONE).exists())


@pytest.mark.parametrize(
    "limit",
    [{"FABRA_WORKER_MAX_TASKS": "3", "FABRA_WORKER_MAX_MEMORY_MB": "4000"}, {"FABRA_WORKER_MAX_MEMORY_MB": "1"}],
    ids=["tasks", "memory"],
)
def test_a_process_at_its_limit_is_replaced_and_work_goes_on(tmp_path: Path, limit: dict[str, str]) -> None:
    with Processes(tmp_path, **limit) as processes:
        processes.start_worker(concurrency=1)
        worker = psutil.Process(processes.running["worker"].pid)
        do_task(0)
        first = wait_until(lambda: process_of(worker))
        for number in range(1, 4):
            do_task(number)
        wait_until(lambda: process_of(worker) not in (None, first))
        do_task(4)
