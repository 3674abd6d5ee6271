"""A program of the stack, and the file through which a child learns what to become.

A command line in the supervisor's configuration would give meaning to characters that a path may contain.
"""

import json
import signal
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from fabra_project.stack.folder import DataFolder
from fabra_project.stack.services import private_file


@dataclass(frozen=True, kw_only=True)
class Program:
    """What runs under this name; servers start before apps, and end after them."""

    name: str
    command: list[str]
    is_server: bool = False
    stop_signal: int = signal.SIGTERM
    environment: dict[str, str] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    """Embedded servers, by name, with their ports, that must answer before it starts."""
    is_released: bool = True
    """False: it waits until the database is prepared."""


def write_programs(folder: DataFolder, programs: Iterable[Program]) -> None:
    path = folder.run / "programs.json"
    private_file(path, json.dumps({program.name: asdict(program) for program in programs}, indent=1)).replace(path)


def read_program(folder: DataFolder, name: str) -> Program:
    return Program(**json.loads((folder.run / "programs.json").read_text())[name])


def child_command(name: str) -> list[str]:
    """Return the command that becomes this program of the data folder in FABRA_DATA_DIR."""
    return [sys.executable, "-m", "fabra_project.stack.child", name]
