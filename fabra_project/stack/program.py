"""A program of the stack, and the file from which a child reads the program that it becomes.

In the supervisor's configuration, some characters that a path may contain would have a special meaning.
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
    """A program that the stack runs; servers start before apps and end after them."""

    name: str
    command: list[str]
    is_server: bool = False
    stop_signal: int = signal.SIGTERM
    environment: dict[str, str] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    """The ports, by name, of embedded servers that must answer before the program starts."""
    is_released: bool = True
    """False if the program waits until the database is prepared."""


def write_programs(folder: DataFolder, programs: Iterable[Program]) -> None:
    path = folder.run / "programs.json"
    private_file(path, json.dumps({program.name: asdict(program) for program in programs}, indent=1)).replace(path)


def read_program(folder: DataFolder, name: str) -> Program:
    return Program(**json.loads((folder.run / "programs.json").read_text())[name])


def child_command(name: str) -> list[str]:
    """Return the command of a process that becomes this program; it reads FABRA_DATA_DIR."""
    return [sys.executable, "-m", "fabra_project.stack.child", name]
