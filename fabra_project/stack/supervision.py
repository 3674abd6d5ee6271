"""supervisord, which runs the programs, writes their logs, and restarts a program that dies."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import IO

from fabra_project.stack.errors import StackError
from fabra_project.stack.folder import LOG_BYTES, PROJECT, DataFolder, begin_log, former, last_lines
from fabra_project.stack.leftovers import SUPERVISOR
from fabra_project.stack.program import Program, child_command, write_programs
from fabra_project.stack.records import record

TRIES = 3  # after this many failed starts, waiting longer does not help

# No control socket: its path may not exceed 107 bytes, and nothing here needs one. Paths are relative to the data
# folder, its working directory, so that they contain no character with a special meaning to its parser.
_HEAD = """\
[supervisord]
nodaemon=true
silent=true
logfile=logs/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile=run/supervisord.pid
childlogdir=logs
"""
# A program that ends within startsecs counts as failed, and each further attempt waits a second longer.
_PROGRAM = """
[program:{name}]
command={command}
directory={directory}
autorestart=true
startsecs={start_seconds}
startretries=1000000
stopsignal={stop_signal}
stopwaitsecs=6
killasgroup={is_killed_as_group}
redirect_stderr=true
stdout_logfile=logs/{name}.log
stdout_logfile_maxbytes={log_bytes}
stdout_logfile_backups=2
"""
_GROUP = """
[group:{name}]
programs={programs}
priority={priority}
"""


def _copy(stream: IO[bytes], path: Path) -> None:
    """Copy what a program says to a file, as far as the disk holds it."""
    with suppress(OSError):
        path.write_bytes(b"")
    for line in stream:
        with suppress(OSError), path.open("ab") as file:
            file.write(line)


def _read(path: Path, start: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


class Supervision:
    """A running supervisord, observed through its log."""

    def __init__(self, folder: DataFolder, programs: list[Program], environment: dict[str, str]) -> None:
        self._folder = folder
        self._log = folder.log("supervisord")
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        for program in programs:
            begin_log(folder.log(program.name))
        write_programs(folder, programs)
        config = folder.run / "supervisord.conf"
        config.write_text(supervisor_config(programs))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
            cwd=folder.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Supervisor ends if it cannot say that a log takes no line, so what it says goes to no full disk itself.
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that a Ctrl-C in the terminal does not reach it directly
        )
        record(folder, SUPERVISOR, self._process.pid)
        assert self._process.stderr is not None
        errors = self._process.stderr, folder.log("supervisord-errors")
        threading.Thread(target=_copy, args=errors, daemon=True).start()

    def failures(self) -> Counter[str]:
        """Return how often each program has ended by itself since this start."""
        text = _read(self._log, self._log_start)
        if self._log.exists() and self._log.stat().st_size < self._log_start:  # a new one has followed
            text = _read(former(self._log), self._log_start) + _read(self._log, 0)
        return Counter(re.findall(r"(?:exited|spawnerr): (\w+)", text))

    def require_alive(self, name: str = "") -> None:
        """Raise StackError if the supervisor has ended, or has failed TRIES times to start this program."""
        if self.failures()[name] >= TRIES:
            log = self._folder.log(name)
            raise StackError(f"{name} does not start; the end of {log}:\n{last_lines(log)}")
        if self._process.poll() is not None:
            log = self._folder.log("supervisord-errors")
            code = self._process.returncode
            raise StackError(f"The supervisor ended (exit code {code}), so everything was stopped.\n{last_lines(log)}")

    def wait(self) -> None:
        """Wait until the supervisor ends, then raise StackError."""
        self._process.wait()
        self.require_alive()


def supervisor_config(programs: list[Program]) -> str:
    parts = [_HEAD, *(["user=root\n"] if os.geteuid() == 0 else [])]
    parts += [
        _PROGRAM.format(
            name=program.name,
            log_bytes=LOG_BYTES,
            command=_escaped(shlex.join(child_command(program.name))),
            directory=_escaped(str(PROJECT)),
            start_seconds=1 if program.is_server else 5,
            stop_signal=signal.Signals(program.stop_signal).name.removeprefix("SIG"),
            # PostgreSQL ends its own processes in order.
            is_killed_as_group="false" if program.is_server else "true",
        )
        for program in programs
    ]
    for name, is_server, priority in (("servers", True, 10), ("apps", False, 20)):
        names = [program.name for program in programs if program.is_server is is_server]
        if names:
            parts.append(_GROUP.format(name=name, programs=",".join(names), priority=priority))
    return "".join(parts)


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
