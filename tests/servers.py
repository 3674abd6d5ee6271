"""Servers of a test's own, durable as the embedded ones of `make up`, to be killed and started again."""

import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from fabra_project.stack.folder import DataFolder
from fabra_project.stack.postgres import Postgres
from fabra_project.stack.valkey import Valkey
from tests.processes import free_port


class OwnServer:
    """One PostgreSQL or Valkey in a folder of its own."""

    def __init__(self, kind: type[Postgres] | type[Valkey], folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.server = kind(folder=DataFolder(path=folder), port=free_port())
        (folder / "secrets").mkdir(exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.server.url

    def __enter__(self) -> Self:
        self.server.prepare()
        self.start()
        if isinstance(self.server, Postgres):
            self.server.create_database()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def start(self) -> None:
        if isinstance(self.server, Postgres):
            self.server.remove_stale_pid_file()
        with self.server.folder.log(self.server.name).open("ab") as log:
            self._process = subprocess.Popen(self.server.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        give_up_at = time.monotonic() + 120
        while not self.server.is_ready():
            assert self._process.poll() is None, self.server.folder.log(self.server.name).read_text()[-2000:]
            assert time.monotonic() < give_up_at, "the server does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it and all that it started, as a power cut would."""
        if self._process is None or self._process.poll() is not None:
            return
        family = [psutil.Process(self._process.pid)]
        family += family[0].children(recursive=True)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=60)
        self._process.wait()
