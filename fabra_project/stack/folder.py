"""The data folder, which holds everything that the stack writes."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fabra_project.stack.errors import StackError

PROJECT = Path(__file__).resolve().parents[2]
LOG_BYTES = 10 * 2**20
"""How long a log becomes before a new one follows it, and the former is kept beside it."""
_START_MARK = "== start of"
_TAIL_BYTES = 20_000


@dataclass(frozen=True, kw_only=True)
class DataFolder:
    """A data folder and its parts; a missing part is created with mode 700 on access, an existing one keeps its own."""

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
        """Return the path of the file that exists once the database is prepared and the apps may start."""
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
    """Return the data folder `name`, by default FABRA_DATA_DIR, or `.data` in the project; create it if missing."""
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
    """Mark the beginning of this start in a log, which earlier starts wrote to as well, unless it is long."""
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(former(path))
    with path.open("a") as file:
        file.write(f"{_START_MARK} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC ==\n")


def former(path: Path) -> Path:
    """Return where a log is kept that a new one has followed: as the supervisor names it."""
    return path.with_name(f"{path.name}.1")


def last_lines(path: Path, count: int = 15) -> str:
    """Return the last lines that this start wrote to a log, indented; only the last 20 kB are read."""
    if not path.exists():
        return ""
    text = _tail(path, _TAIL_BYTES)
    if len(text) < _TAIL_BYTES and _START_MARK.encode() not in text:  # it has just followed another one
        text = _tail(former(path), _TAIL_BYTES) + text
    lines = text.decode(errors="replace").splitlines()
    marks = [number for number, line in enumerate(lines) if line.startswith(_START_MARK)]
    lines = lines[marks[-1] + 1 :] if marks else lines
    return "\n".join(f"    {line}" for line in lines[-count:] or ["(nothing yet)"])


def _tail(path: Path, count: int) -> bytes:
    """Return the last bytes of a file; none if it does not exist."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - count))
            return file.read()
    except FileNotFoundError:
        return b""
