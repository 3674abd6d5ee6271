"""The test databases: one is migrated and the others are copies of it; and how the rows of a test are removed."""

import hashlib
import os
import subprocess
import sys
from functools import cache
from urllib.parse import quote, urlsplit

import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.test import TransactionTestCase

_KEPT = "kept_rows"
"""The schema with the rows that `migrate` leaves, by table."""
_FEW = 500
"""Up to so many rows in each table are deleted faster than all tables are truncated."""
_MIGRATE = "import django; django.setup(); from django.core.management import call_command; call_command('migrate')"
_TESTS = settings.BASE_DIR / "tests"


def server_address() -> str:
    """Return the URL of the PostgreSQL of the tests, without a database."""
    server = connection.settings_dict
    address = f"{server['HOST']}:{server['PORT'] or 5432}"
    return f"postgres://{quote(server['USER'])}:{quote(server['PASSWORD'])}@{address}"


@cache
def migrated_database() -> str:
    """Return the name of a database to copy, which one process makes while the others wait.

    It stays for the next run, which makes another if a Python file of the project has changed.
    """
    name = f"test_{urlsplit(settings.DATABASE_URL).path.strip('/')}_migrated"
    fingerprint = _fingerprint()
    with psycopg.connect(f"{server_address()}/postgres", autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
        found = admin.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [name]
        ).fetchone()
        if found != (fingerprint,):
            admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            admin.execute(f'CREATE DATABASE "{name}"')
            environment = {"DATABASE_URL": f"{server_address()}/{name}", "REDIS_URL": settings.REDIS_URL}
            subprocess.run(
                [sys.executable, "-c", _MIGRATE],
                env=os.environ | environment | {"FABRA_REDIS_PREFIX": settings.FABRA_REDIS_PREFIX, "DEBUG": "1"},
                cwd=settings.BASE_DIR, check=True, timeout=300, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            admin.execute(f"COMMENT ON DATABASE \"{name}\" IS '{fingerprint}'")
    return name


def _fingerprint() -> str:
    """Return a hash of all that a migrated database may depend on."""
    folders = sorted(path.parent for path in settings.BASE_DIR.glob("*/__init__.py") if path.parent != _TESTS)
    files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    digest = hashlib.sha256((settings.BASE_DIR / "requirements.txt").read_bytes())
    for file in files:
        digest.update(f"\0{file.relative_to(settings.BASE_DIR)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def keep_rows() -> None:
    """Copy the rows that a new database has, and have transactional tests return to them instead of flushing.

    Django's flush truncates all tables and sends `post_migrate`, which takes ten times as long as a small test.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() != (True,):
            return  # only a superuser may delete rows without their triggers
        tables = sorted(connection.introspection.django_table_names(only_existing=True, include_views=False))
        cursor.execute(
            " UNION ALL ".join(f"SELECT '{table}' FROM (SELECT FROM \"{table}\" LIMIT 1) AS row" for table in tables)
        )
        kept = {table for (table,) in cursor.fetchall()}
        cursor.execute(f"CREATE SCHEMA {_KEPT}")
        for table in kept:
            cursor.execute(f'CREATE TABLE {_KEPT}."{table}" AS TABLE "{table}"')
    find_changed = " UNION ALL ".join(_selection(table, table in kept) for table in tables)

    def remove_rows(self: TransactionTestCase) -> None:
        _remove_rows(tables, kept, find_changed)

    TransactionTestCase._fixture_teardown = remove_rows


def _selection(table: str, is_kept: bool) -> str:
    """Return a query that gives the table's name and whether it has many rows, unless it is as it was."""
    has_many = f'EXISTS (SELECT 1 FROM "{table}" OFFSET {_FEW})'
    is_changed = f'EXISTS (SELECT 1 FROM "{table}")'
    if is_kept:
        before, now = f'TABLE {_KEPT}."{table}"', f'TABLE "{table}"'
        is_changed = f"EXISTS (({before} EXCEPT ALL {now}) UNION ALL ({now} EXCEPT ALL {before}))"
    return f"SELECT '{table}', {has_many} WHERE {is_changed}"


def _remove_rows(tables: list[str], kept: set[str], find_changed: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(find_changed)
        changed = dict(cursor.fetchall())
        # All goes and what was there returns, so neither triggers nor foreign keys have anything to do.
        cursor.execute("SET LOCAL session_replication_role = replica")
        if any(changed.values()):
            cursor.execute(f"TRUNCATE {', '.join(map(connection.ops.quote_name, tables))}")
            changed = dict.fromkeys(kept, False)
        for table in changed:
            cursor.execute(f'DELETE FROM "{table}"')
            if table in kept:
                cursor.execute(f'INSERT INTO "{table}" SELECT * FROM {_KEPT}."{table}"')
