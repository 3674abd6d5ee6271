"""The data folder: where everything the stack writes lives."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fabra_project.stack.errors import StackError

PROJECT = Path(__file__).resolve().parents[2]
_START_MARK = "== start of"


@dataclass(frozen=True, kw_only=True)
class DataFolder:
    """A data folder and its parts; each part is made private when first asked for, what exists keeps its mode."""

    path: Path

    @property
    def run(self) -> Path:
        return _private(self.path / "run")

    @property
    def logs(self) -> Path:
        return _private(self.path / "logs")

    @property
    def records(self) -> Path:
        return _private(self.run / "processes")

    @property
    def released(self) -> Path:
        """The file whose presence says that the database is prepared, and the apps may start."""
        return self.run / "released"

    @property
    def postgres(self) -> Path:
        return _private(self.path / "postgres")

    @property
    def valkey(self) -> Path:
        return _private(self.path / "valkey")

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def open_folder(name: str | None = None) -> DataFolder:
    """Return the data folder of this name, else of FABRA_DATA_DIR, else `.data` in the project; make it if need be."""
    path = Path(name or os.environ.get("FABRA_DATA_DIR") or PROJECT / ".data").resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"The data folder {path} cannot be made: {error.strerror}.") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise StackError(f"The data folder {path} cannot be written: set FABRA_DATA_DIR to one that can.")
    return DataFolder(path=path)


def _private(path: Path) -> Path:
    path.mkdir(exist_ok=True, mode=0o700)
    return path


def begin_log(path: Path) -> None:
    """Mark in a log, which earlier starts wrote to as well, where this one begins."""
    with path.open("a") as file:
        file.write(f"{_START_MARK} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC ==\n")


def last_lines(path: Path, count: int = 15) -> str:
    """Return the end of what this start wrote to a log, indented; only the last 20 kB are read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    marks = [number for number, line in enumerate(lines) if line.startswith(_START_MARK)]
    lines = lines[marks[-1] + 1 :] if marks else lines
    return "\n".join(f"    {line}" for line in lines[-count:] or ["(nothing yet)"])
