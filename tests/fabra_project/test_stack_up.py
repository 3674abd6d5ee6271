"""`stack up`: the whole bot, from an empty data folder, through kill -9, to Ctrl-C."""

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fabra_project.stack.folder import DataFolder
from fabra_project.stack.leftovers import end_leftovers
from tests.fabra_project.stack_runs import PROJECT, end, family, read_until, recorded_pid, start, wait_for
from tests.processes import free_port

PROGRAMS = ("postgres", "valkey", "web", "indexer", "worker", "batch", "answers", "beat", "consumer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a data folder that has the model and the encodings, which take long to write."""
    folder = tmp_path_factory.mktemp("data")
    prepared = Path(os.environ.get("FABRA_DATA_DIR") or PROJECT / ".data").resolve()
    for name in ("models", "encodings"):
        if (prepared / name).exists():
            shutil.copytree(prepared / name, folder / name, copy_function=os.symlink)
    yield folder
    end_leftovers(DataFolder(path=folder))


@pytest.fixture(scope="module")
def url() -> str:
    return f"http://127.0.0.1:{free_port()}"


def ask(url: str) -> dict[str, object]:
    body = json.dumps({"user_id": "user_123", "message": "How do I reset my password?"}).encode()
    request = urllib.request.Request(f"{url}/chat", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_the_bot_from_its_first_start_through_kill_9_to_ctrl_c(folder: Path, url: str) -> None:
    settings = {"FABRA_DATA_DIR": str(folder), "FABRA_PORT": url.rsplit(":", 1)[1]}
    first = start("up", **settings)
    try:
        said = read_until(first, "Ctrl-C stops all of it")
        assert f"{url}/admin/" in said
        assert "Development mode (DEBUG=1)" in said
        assert ask(url)["citations"]
        whatever_dies_is_started_again(folder, url)
        # The parents alone: their children live on, as after any kill -9 that missed some.
        left = [recorded_pid(folder, name) for name in PROGRAMS]
        psutil.Process(recorded_pid(folder, "supervisord")).kill()
    finally:
        first.kill()
        first.wait()
    second = start("up", **settings)
    try:
        assert "Ended what an earlier start had left" in read_until(second, "Ctrl-C stops all of it")
        assert not [pid for pid in left if psutil.pid_exists(pid)]
        assert ask(url)["citations"]
        members = family(second.pid)
    finally:
        said = end(second)
    assert "All processes have ended" in said
    assert not [member for member in members if member.is_running()]
    assert not list((folder / "run" / "processes").iterdir())
    assert not (folder / "run" / "services.json").exists()


def test_a_web_server_that_cannot_start_is_given_up_with_its_own_last_words(folder: Path, url: str) -> None:
    log = folder / "logs" / "web.log"
    with log.open("a") as file:
        file.write("a failure of yesterday\n")
    # Read by the web processes alone, which end at it; their parent starts them anew.
    settings = {"FABRA_DATABASE_POOL": "none", "FABRA_WEB_PROCESSES": "2"}
    broken = start("up", FABRA_DATA_DIR=str(folder), FABRA_PORT=url.rsplit(":", 1)[1], **settings)
    try:
        said, _ = broken.communicate(timeout=300)
    finally:
        broken.kill()
    assert broken.returncode == 1
    shown = said.partition(f"The end of {log}:")[2]
    assert "FABRA_DATABASE_POOL cannot be read" in shown
    assert "a failure of yesterday" not in shown


def whatever_dies_is_started_again(folder: Path, url: str) -> None:
    before = {name: recorded_pid(folder, name) for name in PROGRAMS}
    children = [*family(before["web"]), *family(before["worker"])]
    for pid in before.values():
        psutil.Process(pid).kill()
    wait_for(lambda: all(recorded_pid(folder, name) != before[name] for name in PROGRAMS), 180)
    wait_for(lambda: is_ready(url), 180)
    assert ask(url)["citations"]
    assert not [process for process in children if process.is_running()]
