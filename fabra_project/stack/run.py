"""Run a command together with PostgreSQL and Redis: `python -m fabra_project.stack run -- COMMAND...`"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from fabra_project.stack.errors import StackError
from fabra_project.stack.folder import open_folder
from fabra_project.stack.leftovers import end_leftovers
from fabra_project.stack.lock import only_one
from fabra_project.stack.progress import ConsoleProgress
from fabra_project.stack.servers import choose_servers, running
from fabra_project.stack.stopping import StackStopped, stop_on_signals


def run(command: list[str], *, data_dir: str | None, is_fast: bool) -> int:
    """Run the command with DATABASE_URL and REDIS_URL set and return its exit code; then the servers end."""
    folder = open_folder(data_dir)
    stop_on_signals()
    try:
        with only_one(folder):
            end_leftovers(folder)
            servers = choose_servers(folder, is_fast=is_fast)
            with running(folder, servers, ConsoleProgress()):
                return _execute(command, servers.urls)
    except StackStopped as stopped:
        return 128 + stopped.number


def _execute(command: list[str], urls: dict[str, str]) -> int:
    # `python` is this environment's, not the one that the shell would find.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    try:
        process = subprocess.Popen(command, env={**os.environ, **urls, "PATH": path})
    except OSError as error:
        raise StackError(f"{command[0]} cannot be run: {error.strerror}.") from None

    def forward(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    # The terminal sends Ctrl-C to the command too: the command decides, and we wait for it, however often it comes.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGHUP, forward)
    code = process.wait()
    return 128 - code if code < 0 else code
