"""The bot's own programs, and the address of its web server."""

import os
import sys
from dataclasses import dataclass

from fabra_project.stack.errors import StackError
from fabra_project.stack.program import Program
from fabra_project.stack.servers import Servers

WORKERS = {"indexer": "state", "worker": "default,webhooks", "batch": "materialize,ingest", "answers": "models"}
"""The queues of each worker: changed documents wait for no slow feature, small tasks for no long run and no model."""

_APPLICATION = ("-A", "fabra_project")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class Address:
    """The address that the web server listens on: FABRA_HOST and FABRA_PORT."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return self.host in _LOOPBACK

    @property
    def url(self) -> str:
        """Return the URL a browser on this machine would use."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def web_address() -> Address:
    port = os.environ.get("FABRA_PORT") or "8000"
    if not (port.isdigit() and 0 < int(port) < 65536):
        raise StackError(f"FABRA_PORT must be a number between 1 and 65535, not {port!r}.")
    return Address(host=os.environ.get("FABRA_HOST") or "127.0.0.1", port=int(port))


def web_processes() -> int:
    """Return FABRA_WEB_PROCESSES: by default one per core, at most four."""
    count = os.environ.get("FABRA_WEB_PROCESSES") or str(min(os.cpu_count() or 1, 4))
    if not (count.isdigit() and 0 < int(count) <= 64):
        raise StackError(f"FABRA_WEB_PROCESSES must be a number between 1 and 64, not {count!r}.")
    return int(count)


def app_programs(servers: Servers, address: Address) -> list[Program]:
    after = {server.name: server.port for server in servers.embedded}

    def app(name: str, *words: str, **environment: str) -> Program:
        command = [sys.executable, *words]
        return Program(name=name, command=command, environment=environment, after=after, is_released=False)

    celery = ("-m", "celery")
    return [
        app("web", "-m", "uvicorn", "fabra_project.asgi:application", *web_options(address), FABRA_WEB="1"),
        *[app(name, *celery, *worker_words(name)) for name in WORKERS],
        app("beat", *celery, *_APPLICATION, "beat", "--loglevel=INFO", "--pidfile="),
        app("consumer", "manage.py", "consume_events"),
    ]


def worker_words(name: str) -> list[str]:
    """Return the words after `celery` that start one of the WORKERS."""
    options = ("--loglevel=INFO", "--pool=prefork", "--concurrency=2", "--without-gossip", "--without-mingle")
    return [*_APPLICATION, "worker", *options, f"--queues={WORKERS[name]}", f"--hostname={name}@%h"]


def web_options(address: Address) -> list[str]:
    """Return the options of uvicorn; the protocol and the settings limit what a client may send."""
    return [
        f"--host={address.host}",
        f"--port={address.port}",
        f"--workers={web_processes()}",
        # Seconds until a process that has not started, or hangs, is replaced; starting is slow on a busy machine.
        "--timeout-worker-healthcheck=60",
        "--loop=uvloop",
        "--http=fabra_project.http_protocol:BoundedHeadProtocol",
        "--ws=websockets-sansio",
        "--ws-max-size=200000",  # bytes: the longest question, in escapes
        "--lifespan=off",
        "--timeout-graceful-shutdown=4",
        # FABRA_TRUSTED_PROXIES says whose X-Forwarded-For counts; uvicorn would believe any process of this machine.
        "--no-proxy-headers",
        # Each answer has a trace, so a log line per request would cost more than it is worth.
        "--no-access-log",
    ]
