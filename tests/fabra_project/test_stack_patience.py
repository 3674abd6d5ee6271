"""A start waits for a program while it gets on, and shows only what it wrote since that start."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fabra_project.stack.folder import DataFolder, begin_log, last_lines
from fabra_project.stack.patience import Pace, Patience
from fabra_project.stack.progress import ConsoleProgress
from fabra_project.stack.records import record

Run = Callable[..., None]

SLEEP = "import time; time.sleep(60)"
WRITE = "import time\nwhile True: print('a line', flush=True); time.sleep(0.05)"
COMPUTE = "while True: pass"
CHILD_COMPUTES = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {COMPUTE!r}])"
CHILDREN_END = "import subprocess\nwhile True: subprocess.run(['sleep', '0.1'])"


PACE = Pace(still=1.2, work=0.3, look=0.05, say=1.0)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(path=tmp_path)


@pytest.fixture
def run(folder: DataFolder) -> Iterator[Run]:
    """Return a function that runs a script as a program, `web` by default, in a group that is ended after the test."""
    processes = []

    def start(script: str, name: str = "web") -> None:
        with folder.log(name).open("a") as log:
            process = subprocess.Popen([sys.executable, "-c", script], stdout=log, start_new_session=True)
        processes.append(process)
        record(folder, name, process.pid)

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def waited(folder: DataFolder, seconds: float, *, names: Sequence[str] = ("web",), **options: Any) -> float:
    """Return after how many seconds the wait was over, at most so many."""
    began = time.monotonic()
    wait = Patience(folder, names, "the web server to answer", ConsoleProgress(), pace=PACE, **options)
    while not wait.is_over() and time.monotonic() - began < seconds:
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_program_that_does_nothing_is_given_up(
    folder: DataFolder, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run(SLEEP)
    assert 1.2 < waited(folder, 60) < 60
    assert re.search(r"waiting for the web server to answer \(\d+ s; ", capsys.readouterr().out)


@pytest.mark.parametrize("script", [WRITE, COMPUTE, CHILD_COMPUTES])
def test_a_program_that_gets_on_is_waited_for(folder: DataFolder, run: Run, script: str) -> None:
    run(script)
    assert waited(folder, 3) >= 3


def test_a_program_that_waits_for_a_core_is_waited_for(folder: DataFolder, run: Run) -> None:
    on_one = f"import os; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}])\n"
    run(on_one + COMPUTE, "other")
    run(f"{on_one}os.nice(19)\n{COMPUTE}")  # it gets the core for some 15 ms of a second
    assert waited(folder, 3) >= 3


def test_any_of_several_programs_that_gets_on_is_waited_for(folder: DataFolder, run: Run) -> None:
    run(SLEEP)
    run(COMPUTE, "worker")
    assert waited(folder, 3, names=("web", "worker")) >= 3


def test_lines_of_a_log_can_be_left_out_of_account(folder: DataFolder, run: Run) -> None:
    run(WRITE.replace("0.05", "1"))
    assert waited(folder, 60, reads_logs=False) < 60


def test_processes_that_are_started_anew_and_end_are_no_progress(folder: DataFolder, run: Run) -> None:
    run(CHILDREN_END + "; print('again', flush=True)")
    assert waited(folder, 60, most_ended=3) < 60


def test_only_what_this_start_wrote_is_shown(folder: DataFolder) -> None:
    log = folder.log("web")
    log.write_text("a failure of yesterday\n")
    assert last_lines(log) == "    a failure of yesterday"
    begin_log(log)
    assert last_lines(log) == "    (nothing yet)"
    with log.open("a") as file:
        file.write("a line of today\n")
    assert last_lines(log) == "    a line of today"
    assert "a failure of yesterday" in log.read_text()
