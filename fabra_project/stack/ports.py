"""Choose ports: those of the last start if they are free, otherwise random ones."""

import errno
import json
import random
import socket

from fabra_project.stack.errors import StackError
from fabra_project.stack.folder import DataFolder

# Below the kernel's range for outgoing connections, one of which could take a server's port while it restarts.
_RANGE = (15_000, 30_000)


def server_ports(folder: DataFolder, names: list[str]) -> dict[str, int]:
    """Return a free loopback port for each name, the same as at the last start if possible."""
    path = folder.run / "ports.json"
    try:
        kept: dict[str, int] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        kept = {}
    for name in names:
        others = {port for other, port in kept.items() if other != name}
        if not (name in kept and is_free("127.0.0.1", kept[name])):
            kept[name] = _choose(others)
    path.write_text(json.dumps(kept))
    return {name: kept[name] for name in names}


def _choose(taken: set[int]) -> int:
    for _ in range(200):
        port = random.randint(*_RANGE)
        if port not in taken and is_free("127.0.0.1", port):
            return port
    raise StackError(f"No free port was found between {_RANGE[0]} and {_RANGE[1]} on 127.0.0.1.")


def is_free(host: str, port: int) -> bool:
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def require_free(host: str, port: int) -> None:
    """Raise StackError if the web server could not listen on this address."""
    try:
        _bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StackError(f"Port {port} on {host} is taken: stop what listens there, or set FABRA_PORT.") from None
        reason = error.strerror or str(error)
        raise StackError(
            f"The web server cannot listen on {host}:{port} ({reason}): see FABRA_HOST, FABRA_PORT."
        ) from None


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do, so that a closed connection in TIME_WAIT does not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
