"""Records of the stack's processes: one small file each, so that the next start finds processes left by a kill -9."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from fabra_project.stack.folder import DataFolder
from fabra_project.stack.services import private_file


@dataclass(frozen=True, kw_only=True)
class ProcessRecord:
    """A process, identified by its PID and start time, because a PID alone may soon belong to another process."""

    name: str
    pid: int
    started: float

    def process(self) -> psutil.Process | None:
        """Return the process if it is still the recorded one; start times may differ a little after a clock change."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started) < 2
            return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def record(folder: DataFolder, name: str, pid: int | None = None) -> None:
    """Record this process, or the one with `pid`."""
    process = psutil.Process(pid or os.getpid())
    text = json.dumps({"pid": process.pid, "started": process.create_time()})
    path = folder.records / name
    private_file(path, text).replace(path)


def forget(folder: DataFolder, name: str) -> None:
    (folder.records / name).unlink(missing_ok=True)


def read_record(folder: DataFolder, name: str) -> ProcessRecord | None:
    return _read(folder.records / name)


def all_records(folder: DataFolder) -> list[ProcessRecord]:
    found = (_read(path) for path in sorted(folder.records.iterdir()) if "." not in path.name)
    return [entry for entry in found if entry is not None]


def _read(path: Path) -> ProcessRecord | None:
    try:
        return ProcessRecord(name=path.name, **json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
