"""The bot that is loaded: `make up` on a free port of the loopback address, with a data folder of its own."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.servers import PROJECT, free_port
from fabra_project.stack.services import read_services

_PATIENCE_S = 900


@dataclass(frozen=True, kw_only=True)
class Bot:
    url: str
    database_url: str
    redis_url: str
    process: psutil.Process

    def processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def running_bot(folder: Path) -> Iterator[Bot]:
    """Start it, yield it once it is ready, and stop it; raise RuntimeError if it does not start."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with (folder / "soak.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fabra_project.stack", "up"],
            cwd=PROJECT, env=_environment(folder, port), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        print(f"Starting a bot at {url}; its logs are in {folder} ...", flush=True)
        _wait_until_ready(process, url, folder)
        services = read_services(folder.resolve())
        yield Bot(
            url=url, database_url=services["DATABASE_URL"], redis_url=services["REDIS_URL"],
            process=psutil.Process(process.pid),
        )  # fmt: skip
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def _environment(folder: Path, port: int) -> dict[str, str]:
    """Return this process's environment without the project's variables; no limit refuses the load."""
    others = ("FABRA_", "OPENAI_", "DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    unlimited = {name: "1000000000" for name in ("FABRA_LIMIT_PREMIUM", "FABRA_LIMIT_DEFAULT")}
    own = {"FABRA_DATA_DIR": str(folder.resolve()), "FABRA_PORT": str(port), "FABRA_LIMIT_ADDRESS": "0", "DEBUG": "1"}
    return kept | unlimited | own


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, folder: Path) -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            break
        try:
            if urllib.request.urlopen(f"{url}/readyz", timeout=5).status == 200 and read_services(folder.resolve()):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise RuntimeError((folder / "soak.log").read_text(errors="replace")[-2000:])
