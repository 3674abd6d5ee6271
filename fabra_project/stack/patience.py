"""How long a start waits for a program: as long as the program makes progress, because a busy machine is slow."""

import time

import psutil

from fabra_project.stack.folder import DataFolder
from fabra_project.stack.progress import Progress
from fabra_project.stack.records import read_record

STILL_SECONDS = 60  # give up a program after this time without log output or CPU work
MOST_SECONDS = 900  # give up after this time in any case
_WORK_SECONDS = 1.0  # CPU time that counts as progress; a program that only waits uses less in STILL_SECONDS
_LOOK_SECONDS = 1.0
_SAY_SECONDS = 15


class Patience:
    """Watch whether a program's log, or the CPU time of its processes, grows.

    The wait is also over once `most_ended` of its processes have ended: a web server restarts failing processes for
    ever, and each of them works and logs until it ends.
    """

    def __init__(
        self, folder: DataFolder, name: str, what: str, progress: Progress, *, most_ended: int | None = None
    ) -> None:
        self._folder, self._name, self._what, self._progress = folder, name, what, progress
        self._most_ended = most_ended
        self._began = self._moved = self._looked = self._said = time.monotonic()
        self._log_bytes = self._measure_log()
        self._worked = 0.0
        self._cpu_seconds: dict[tuple[int, float], float] = {}
        self._ended = 0

    def is_over(self) -> bool:
        """Return whether to stop waiting; until then, print every _SAY_SECONDS what is waited for."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look(now)
        if now - self._said >= _SAY_SECONDS:
            self._said = now
            self._progress.say(f"    waiting for {self._what} ({now - self._began:.0f} s; {self._state(now)})")
        if self._most_ended is not None and self._ended >= self._most_ended:
            return True
        return now - self._moved > STILL_SECONDS or now - self._began > MOST_SECONDS

    def _look(self, now: float) -> None:
        log_bytes, worked = self._measure_log(), self._measure_work()
        if log_bytes != self._log_bytes or worked - self._worked >= _WORK_SECONDS:
            self._log_bytes, self._worked, self._moved = log_bytes, worked, now

    def _state(self, now: float) -> str:
        still = now - self._moved
        return "it is at work" if still < _SAY_SECONDS else f"nothing has moved for {still:.0f} s"

    def _measure_log(self) -> int:
        try:
            return self._folder.log(self._name).stat().st_size
        except FileNotFoundError:
            return 0

    def _measure_work(self) -> float:
        """Return the CPU time of the program's processes so far in seconds, ended ones included."""
        living = set()
        for process in self._family():
            try:
                times, key = process.cpu_times(), (process.pid, process.create_time())
                is_ended = process.status() == psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:  # it ended meanwhile
                continue
            self._cpu_seconds[key] = times.user + times.system
            if not is_ended:
                living.add(key)
        self._ended = len(self._cpu_seconds.keys() - living)
        return sum(self._cpu_seconds.values())

    def _family(self) -> list[psutil.Process]:
        entry = read_record(self._folder, self._name)
        leader = entry.process() if entry else None
        try:
            return [leader, *leader.children(recursive=True)] if leader else []
        except psutil.NoSuchProcess:
            return []
