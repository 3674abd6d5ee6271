"""How long a start waits for a program: as long as the program makes progress, because a busy machine is slow."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from fabra_project.stack.folder import DataFolder
from fabra_project.stack.progress import ConsoleProgress
from fabra_project.stack.records import read_record


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The times of a wait, in seconds."""

    still: float = 60
    """Give programs up after this time without log output or CPU work."""
    work: float = 1.0
    """CPU time that counts as progress, had or waited for; a program that only waits uses less in `still`."""
    look: float = 1.0
    say: float = 15


class Patience:
    """Watch whether programs' logs, or the CPU time of their processes, grow.

    To wait for a core counts as to have it: on a machine that is busy enough a program does not come to anything.

    There is no longest time: what moves is waited for, and the lines that are printed meanwhile say so. The wait is
    over, too, once `most_ended` of the processes have ended: a web server restarts failing processes for ever, and each
    of them works and logs until it ends.
    """

    def __init__(
        self,
        folder: DataFolder,
        names: Sequence[str],
        what: str,
        progress: ConsoleProgress,
        *,
        pace: Pace,
        most_ended: int | None = None,
        reads_logs: bool = True,
    ) -> None:
        self._folder, self._names, self._what, self._progress = folder, names, what, progress
        self._pace, self._most_ended, self._reads_logs = pace, most_ended, reads_logs
        self._began = self._moved = self._looked = self._said = time.monotonic()
        self._log_bytes = self._measure_logs()
        self._cpu_seconds: dict[tuple[int, float], float] = {}
        self._ended = 0
        self._worked = self._measure_work()

    def is_over(self) -> bool:
        """Return whether to stop waiting; until then, print now and then what is waited for."""
        now = time.monotonic()
        if now - self._looked >= self._pace.look:
            self._looked = now
            self._look(now)
        if now - self._said >= self._pace.say:
            self._said = now
            self._progress.say(f"    waiting for {self._what} ({now - self._began:.0f} s; {self._state(now)})")
        if self._most_ended is not None and self._ended >= self._most_ended:
            return True
        return now - self._moved > self._pace.still

    def _look(self, now: float) -> None:
        log_bytes, worked = self._measure_logs(), self._measure_work()
        if log_bytes != self._log_bytes or worked - self._worked >= self._pace.work:
            self._log_bytes, self._worked, self._moved = log_bytes, worked, now

    def _state(self, now: float) -> str:
        still = now - self._moved
        return "it is at work" if still < self._pace.say else f"nothing has moved for {still:.0f} s"

    def _measure_logs(self) -> int:
        logs = [self._folder.log(name) for name in self._names] if self._reads_logs else []
        return sum(log.stat().st_size for log in logs if log.exists())

    def _measure_work(self) -> float:
        """Return the seconds that the programs' processes had a core, or waited for one, ended ones included."""
        living = set()
        for process in self._family():
            try:
                seconds, key = _seconds_of(process), (process.pid, process.create_time())
                is_ended = process.status() == psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:  # it ended meanwhile
                continue
            self._cpu_seconds[key] = seconds
            if not is_ended:
                living.add(key)
        self._ended = len(self._cpu_seconds.keys() - living)
        return sum(self._cpu_seconds.values())

    def _family(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for name in self._names:
            entry = read_record(self._folder, name)
            leader = entry.process() if entry else None
            try:
                found += [leader, *leader.children(recursive=True)] if leader else []
            except psutil.NoSuchProcess:
                continue
        return found


def _seconds_of(process: psutil.Process) -> float:
    """Return how long the process had a core or, where Linux tells it, waited for one."""
    times = process.cpu_times()
    waited_ns = 0
    for thread in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
        try:
            waited_ns += int(thread.read_text().split()[1])
        except (OSError, IndexError):  # the thread has ended
            continue
    return float(times.user + times.system) + waited_ns / 1e9
