"""The embedded servers of a data folder, or the external ones that the environment names."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured

from common.secret_files import env_secret
from fabra_project.stack.errors import StackError
from fabra_project.stack.external import check_postgres, check_redis
from fabra_project.stack.folder import PROJECT, DataFolder, begin_log, last_lines
from fabra_project.stack.leftovers import end_leftovers
from fabra_project.stack.patience import Pace, Patience
from fabra_project.stack.ports import server_ports
from fabra_project.stack.postgres import Postgres
from fabra_project.stack.program import Program, child_command, write_programs
from fabra_project.stack.progress import ConsoleProgress
from fabra_project.stack.records import record
from fabra_project.stack.valkey import Valkey

EMBEDDED: dict[str, type[Postgres] | type[Valkey]] = {"postgres": Postgres, "valkey": Valkey}


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The URLs of PostgreSQL and Redis, and which of them the stack starts and stops."""

    embedded: tuple[Postgres | Valkey, ...]
    urls: dict[str, str]


def choose_servers(folder: DataFolder, *, is_fast: bool = False) -> Servers:
    """Check the servers that the environment names, and prepare embedded ones instead of those it does not name."""
    try:
        database_url, redis_url = env_secret("DATABASE_URL"), env_secret("REDIS_URL")
    except ImproperlyConfigured as error:
        raise StackError(str(error)) from None
    if database_url:
        check_postgres(database_url)
    if redis_url:
        check_redis(redis_url)
    wanted = [name for name, url in (("postgres", database_url), ("valkey", redis_url)) if not url]
    ports = server_ports(folder, wanted)
    embedded = tuple(EMBEDDED[name](folder=folder, port=ports[name], is_fast=is_fast) for name in wanted)
    for server in embedded:
        server.prepare()
    by_name = {server.name: server.url for server in embedded}
    urls = {
        "DATABASE_URL": database_url or by_name["postgres"],
        "REDIS_URL": redis_url or by_name["valkey"],
    }
    return Servers(embedded=embedded, urls=urls)


def server_programs(servers: Servers) -> list[Program]:
    return [
        Program(name=server.name, command=server.command(), is_server=True, stop_signal=server.stop_signal)
        for server in servers.embedded
    ]


@contextmanager
def running(folder: DataFolder, servers: Servers, progress: ConsoleProgress) -> Iterator[None]:
    """Start the embedded servers without a supervisor, and stop them at the end of the block."""
    write_programs(folder, server_programs(servers))
    try:
        processes = {server.name: _start(folder, server) for server in servers.embedded}

        def require_alive(name: str) -> None:
            code = processes[name].poll()
            if code is not None:
                raise StackError(
                    f"{name} ended (exit code {code}); the end of its log:\n{last_lines(folder.log(name))}"
                )

        wait_until_ready(folder, servers, progress, require_alive)
        yield
    finally:
        end_leftovers(folder)


def wait_until_ready(
    folder: DataFolder, servers: Servers, progress: ConsoleProgress, require_alive: Callable[[str], None]
) -> None:
    """Wait until the embedded servers accept work, and create the database; `require_alive` raises if one has ended.

    After a crash, PostgreSQL first replays its write-ahead log, which may take minutes.
    """
    for server in servers.embedded:
        patience = Patience(folder, [server.name], f"{server.title} to take work", progress, pace=Pace())
        while not server.is_ready():
            require_alive(server.name)
            if patience.is_over():
                log = folder.log(server.name)
                raise StackError(f"{server.title} does not answer; the end of {log}:\n{last_lines(log)}")
            time.sleep(0.05)
        if isinstance(server, Postgres):
            server.create_database()


def _start(folder: DataFolder, server: Postgres | Valkey) -> "subprocess.Popen[bytes]":
    begin_log(folder.log(server.name))
    with folder.log(server.name).open("ab") as log:
        process = subprocess.Popen(
            child_command(server.name),
            cwd=PROJECT,
            env={**os.environ, "FABRA_DATA_DIR": str(folder.path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # so that a Ctrl-C in the terminal does not reach it directly
        )
    # The child records itself too, but an interrupt may come before.
    record(folder, server.name, process.pid)
    return process
