"""Real uvicorn processes, all with the options of `make up`."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
_PATIENCE_S = 60


@contextmanager
def uvicorn(application: str, **environment: str) -> Iterator[str]:
    """Serve an application from one process, and yield its URL once it listens; the process ends with the block."""
    port = _free_port()
    options = [
        "--host=127.0.0.1", f"--port={port}", "--loop=uvloop", "--http=httptools", "--lifespan=off", "--no-access-log",
        "--log-level=warning",
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


def _free_port() -> int:
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
