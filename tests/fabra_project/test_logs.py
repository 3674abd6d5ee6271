"""Logs are bounded and say what is worth reading: a new one follows a long one, and the last words are found."""

import os
import signal
import sys
from pathlib import Path

import pytest

from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from fabra_project.stack.folder import LOG_BYTES, DataFolder, begin_log, former, last_lines
from fabra_project.stack.leftovers import end_leftovers
from fabra_project.stack.program import Program
from fabra_project.stack.supervision import Supervision
from tests.processes import Processes, wait_until

WRITE = f"""
import time
for _ in range({4 * LOG_BYTES // 2**20}):
    print(("a line " + "x" * 120 + "\\n") * (2**20 // 128), end="", flush=True)
print("the last words", flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(path=tmp_path)


def test_a_program_that_writes_for_ever_has_bounded_logs(folder: DataFolder) -> None:
    program = Program(name="web", command=[sys.executable, "-c", WRITE])
    supervision = Supervision(folder, [program], {**os.environ, "FABRA_DATA_DIR": str(folder.path)})
    try:
        wait_until(lambda: last_lines(folder.log("web")).endswith("the last words"))
        supervision.require_alive("web")
        logs = list(folder.logs.glob("web.log*"))
        assert 2 <= len(logs) <= 3
        assert sum(log.stat().st_size for log in logs) < 3.5 * LOG_BYTES
    finally:
        end_leftovers(folder)


def test_a_start_follows_a_long_log_with_a_new_one(folder: DataFolder) -> None:
    log = folder.log("postgres")
    log.write_bytes(b"a line\n" * (LOG_BYTES // 7 + 1))
    begin_log(log)
    assert (log.stat().st_size < 100, former(log).stat().st_size > LOG_BYTES) == (True, True)
    begin_log(log)
    assert former(log).stat().st_size > LOG_BYTES, "the new one is short"
    assert last_lines(log) == "    (nothing yet)"


def test_the_last_words_are_found_where_a_new_log_has_just_followed(folder: DataFolder) -> None:
    log = folder.log("web")
    begin_log(log)
    with log.open("a") as file:
        file.write("first\n")
    log.rename(former(log))
    log.touch()
    assert last_lines(log) == "    first"
    log.write_text("second\n")
    assert last_lines(log) == "    first\n    second"


@pytest.mark.django_db(transaction=True)
def test_a_worker_logs_no_line_for_each_task(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        words = ("--concurrency=1", "--without-mingle", "--without-gossip", "--loglevel=INFO")
        worker = processes.start("worker", "-m", "celery", "-A", "fabra_project", "worker", *words)
        record_event(AxiomEvent(event_type="message_sent", entity_id="user_1", payload={}), Event.Source.API)
        wait_until(lambda: Event.objects.get().state == Event.State.DONE)
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    log = (tmp_path / "worker.log").read_text()
    assert "ready." in log
    assert "received" not in log and "succeeded" not in log
