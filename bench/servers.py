"""Real uvicorn processes, all with the options of `make up`."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

PROJECT = Path(__file__).resolve().parent.parent
_PATIENCE_S = 60


@contextmanager
def uvicorn(application: str, *, processes: int = 1, **environment: str) -> Iterator[str]:
    """Serve an application and yield its URL once it listens; its processes end with the block."""
    port = free_port()
    options = [
        "--host=127.0.0.1", f"--port={port}", f"--workers={processes}", "--loop=uvloop", "--http=httptools",
        "--lifespan=off", "--no-access-log", "--log-level=warning",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", application, *options],
            cwd=PROJECT, env=os.environ | environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait(process, port)
            yield f"http://127.0.0.1:{port}"
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read()[-3000:].decode(errors="replace"))
            raise
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


class Program:
    """A process of the project with children of its own, that can be killed and started again."""

    def __init__(self, *words: str) -> None:
        self._words = words
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (the process keeps it)
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, *self._words], cwd=PROJECT, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def kill(self) -> None:
        """End it and its children as a power cut would."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def restart(self) -> None:
        self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.kill()
        if kind is not None:
            self._log.seek(0)
            sys.stderr.write(self._log.read()[-3000:].decode(errors="replace"))
        self._log.close()


def worker(concurrency: int) -> Program:
    options = ("--without-gossip", "--without-mingle", "--loglevel=WARNING")
    return Program("-m", "celery", "-A", "fabra_project", "worker", f"--concurrency={concurrency}", *options)


def beat() -> Program:
    return Program("-m", "celery", "-A", "fabra_project", "beat", "--pidfile=", "--loglevel=WARNING")


def consumer() -> Program:
    return Program("manage.py", "consume_events")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError("uvicorn did not start") from None
            time.sleep(0.1)
