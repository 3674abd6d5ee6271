"""Real processes for tests: web, worker and consumer, on the test database and Redis."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit, urlunsplit

import psutil
from django.conf import settings
from django.db import connection

PROJECT = Path(__file__).resolve().parent.parent


_PORTS, _OWN_PORTS = range(10_000, 15_000), 500
"""Below those of the stack and of outgoing connections, and how many each process of a test run has."""
_next_port = itertools.count(os.getpid())
_END_S = 60
"""For a process that was told to end, or was killed."""


def free_port() -> int:
    """Return a port that nothing listens on, and that no other process of the run takes before a server listens."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = _PORTS.start + worker * _OWN_PORTS % len(_PORTS)
    for number in itertools.islice(_next_port, _OWN_PORTS):
        with socket.socket() as probe, suppress(OSError):
            port = first + number % _OWN_PORTS
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"No port from {first} to {first + _OWN_PORTS - 1} is free.")


def test_environment(**extra: str) -> dict[str, str]:
    """Return the environment of a process that shares this test's database and Redis keys."""
    parts = urlsplit(settings.DATABASE_URL)
    name = quote(str(connection.settings_dict["NAME"]), safe="")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FABRA_", "OPENAI_"))}
    return kept | {
        "DATABASE_URL": urlunsplit(parts._replace(path=f"/{name}")),
        "REDIS_URL": settings.REDIS_URL,
        "FABRA_REDIS_PREFIX": settings.FABRA_REDIS_PREFIX,
        "FABRA_DATA_DIR": str(settings.FABRA_DATA_DIR),
        "FABRA_EMBEDDER": settings.FABRA_EMBEDDER,
        "FABRA_EMBEDDING_MODEL": settings.FABRA_EMBEDDING_MODEL,
        "FABRA_EMBEDDING_THREADS": str(settings.FABRA_EMBEDDING_THREADS),
        "DJANGO_SETTINGS_MODULE": "fabra_project.settings",
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
        "DEBUG": "1",
        **extra,
    }


test_environment.__test__ = False


def wait_until(what: Callable[[], Any], timeout_s: float = 120.0) -> Any:
    """Return the first true result of `what`; fail after `timeout_s`, which is ample on a machine with much to do."""
    give_up_at = time.monotonic() + timeout_s
    while not (result := what()):
        assert time.monotonic() < give_up_at, "nothing happened in time"
        time.sleep(0.02)
    return result


class Processes:
    """Starts processes and ends them all; the log of each lies in `folder`."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = environment
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.port = free_port()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: Any, trace: TracebackType | None) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        log = open(self.folder / f"{name}.log", "ab")  # noqa: SIM115 (the process keeps it)
        process = subprocess.Popen(
            [sys.executable, *command], cwd=PROJECT, env=test_environment(**self.environment), stdout=log, stderr=log
        )
        self.running[name] = process
        return process

    def start_web(self) -> None:
        self.start(
            "web", "-m", "uvicorn", "fabra_project.asgi:application", "--port", str(self.port), "--lifespan", "off"
        )
        wait_until(self._is_ready)

    def start_worker(self, concurrency: int = 1) -> None:
        self.start(
            "worker", "-m", "celery", "-A", "fabra_project", "worker",
            "--concurrency", str(concurrency), "--without-mingle", "--without-gossip", "--loglevel", "WARNING",
        )  # fmt: skip

    def start_consumer(self) -> None:
        self.start("consumer", "manage.py", "consume_events")

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(_END_S)

    def end_all_but(self, *names: str) -> None:
        """End what a test started beside the processes that its module shares."""
        for name in [name for name in self.running if name not in names]:
            self.kill_family(name)

    def kill_family(self, name: str) -> None:
        """Kill a process and all that it started."""
        process = self.running.pop(name)
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait(_END_S)

    def _is_ready(self) -> bool:
        assert self.running["web"].poll() is None, (self.folder / "web.log").read_text()[-3000:]
        try:
            return urllib.request.urlopen(f"{self.url}/readyz", timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False
