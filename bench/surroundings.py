"""Where the benchmarks run: in a database and under Redis keys of their own, beside whatever the servers hold."""

import os
import sys
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from bench.figures import say

_KEPT = ("FABRA_DATA_DIR", "FABRA_TEST_DATA")
PREFIX = "fabra-bench"
USERS = 64
"""Chats come from many users: one user's messages wait for each other's locks."""


def settle() -> None:
    """Point the environment at the benchmarks' own places, before settings are read.

    The project's other variables are dropped, so that figures of two machines compare.
    """
    url, redis_url = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    if not url or not redis_url:
        sys.exit("DATABASE_URL and REDIS_URL are not set: run `make bench`, which starts servers for it.")
    for name in list(os.environ):
        if name.startswith(("FABRA_", "OPENAI_")) and name not in _KEPT:
            del os.environ[name]
    os.environ |= {
        "DATABASE_URL": _own_database(url),
        "FABRA_REDIS_PREFIX": PREFIX,
        "FABRA_LOG_LEVEL": "WARNING",
        "FABRA_LIMIT_PREMIUM": "1000000000",
        # As in production, but for TLS, which a proxy would do.
        "DEBUG": "0",
        "FABRA_HTTPS_ONLY": "0",
        "DJANGO_SETTINGS_MODULE": "fabra_project.settings",
    }


def _own_database(url: str) -> str:
    """Return the URL of the database `{name}_bench`, made at first use."""
    parts = urlsplit(url)
    name = f"{unquote(parts.path.lstrip('/'))}_bench"
    with psycopg.connect(url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            say(f"Creating the database {name}; it keeps the filled index for the next run.")
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return urlunsplit(parts._replace(path=f"/{name}"))


def prepare() -> None:
    """Migrate, load the sample and the users, and forget what an earlier run chatted."""
    from django.core.management import call_command
    from django.db import connection

    from chat.models import Customer
    from retrieval.models import Index

    say("Migrating and loading the sample ...")
    call_command("migrate", verbosity=0)
    forget()
    with open(os.devnull, "w") as nowhere:
        call_command("load_sample", stdout=nowhere)
    for index in Index.objects.exclude(threshold=None):  # every question is to reach the model
        index.set_threshold(None, {}, by="bench")
    Customer.objects.bulk_create(
        [Customer(user_id=user_id, tier="premium") for user_id in user_ids()], ignore_conflicts=True
    )
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_row (id bigserial PRIMARY KEY, body text NOT NULL)")


def user_ids() -> list[str]:
    return [f"bench_user_{number}" for number in range(USERS)]


def forget() -> None:
    """Remove all that the runs left but the sample and the filled indexes."""
    import redis
    from django.conf import settings
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_row")
        cursor.execute(
            "TRUNCATE chat_message, chat_conversation, chat_apikey, chat_reservation, contexts_tracebody, "
            "contexts_trace, features_featurevalue CASCADE"
        )
        cursor.execute("DELETE FROM events_event")  # documents refer to events: TRUNCATE would take them along
    client = redis.Redis.from_url(settings.REDIS_URL)
    for key in client.scan_iter(f"{PREFIX}:*", count=1000):
        client.delete(key)
    client.close()
