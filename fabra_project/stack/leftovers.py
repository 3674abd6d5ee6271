"""End processes of the stack: those left by an earlier start, or those of this one at its end."""

import contextlib
import os
import signal
from collections.abc import Iterable

import psutil

from fabra_project.stack.folder import DataFolder
from fabra_project.stack.records import ProcessRecord, all_records, forget

SUPERVISOR = "supervisord"
_SUPERVISOR_SECONDS = 12
_SERVER_SECONDS = 5


def end_leftovers(folder: DataFolder) -> int:
    """End every recorded process that still runs, with its descendants; return how many were recorded and running.

    The supervisor is ended first: it ends its programs in the right order, and would restart those ended by others.
    """
    records = [entry for entry in all_records(folder) if entry.pid != os.getpid()]
    living = [(entry, process) for entry in records if (process := entry.process())]
    family = _family(folder, records)
    for entry, process in living:
        if entry.name == SUPERVISOR:
            _signal(process, signal.SIGTERM)
            psutil.wait_procs([process], timeout=_SUPERVISOR_SECONDS)
    for entry, process in living:
        # SIGINT, because at SIGTERM PostgreSQL would wait for its clients.
        _signal(process, signal.SIGINT if entry.name == "postgres" else signal.SIGTERM)
    psutil.wait_procs([process for _, process in living], timeout=_SERVER_SECONDS)
    end_now(family | _family(folder, records))
    for entry in records:
        forget(folder, entry.name)
    return len(living)


def end_orphans(folder: DataFolder, entry: ProcessRecord) -> None:
    """End the descendants of a process that died by itself: a killed Celery worker's children keep running."""
    end_now(_family(folder, [entry]))


def end_now(processes: Iterable[psutil.Process]) -> None:
    living = list(processes)
    for process in living:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(living, timeout=3)


def _family(folder: DataFolder, records: list[ProcessRecord]) -> set[psutil.Process]:
    """Return the recorded processes that run, their descendants, and the orphans of those that ended."""
    found: set[psutil.Process] = set()
    orphaned: dict[int, float] = {}
    for entry in records:
        if process := entry.process():
            found.add(process)
            with contextlib.suppress(psutil.NoSuchProcess):
                found.update(process.children(recursive=True))
        elif not psutil.pid_exists(entry.pid):
            orphaned[entry.pid] = entry.started
    if orphaned:
        found.update(process for process in psutil.process_iter() if _is_orphan(process, folder, orphaned))
    return found


def _is_orphan(process: psutil.Process, folder: DataFolder, orphaned: dict[int, float]) -> bool:
    """Return whether a process is in a dead leader's group, started after it, and uses this data folder.

    The supervisor makes each program the leader of its own process group.
    """
    try:
        started = orphaned.get(os.getpgid(process.pid))
        if started is None or process.create_time() < started - 2:
            return False
        return process.environ().get("FABRA_DATA_DIR") == str(folder.path)
    except (ProcessLookupError, PermissionError, psutil.Error):
        return False


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        process.send_signal(number)
