"""The admin's pages on big tables, on request: the slowest of each table's list, searches, filters and change pages.

It fills the tables first, which takes some minutes and 8 GB. The floor is the lightest page, the sign-in's.
"""

import time
from collections.abc import Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment, teardown_test_environment
from django.urls import reverse

from bench.figures import Limit, Row, Spread, say
from chat.models import Conversation
from chat.sample.big_tables import HOT, RARE_VERSION, fill_tables
from events.hours import keep_hours
from retrieval.generations.hnsw import drop_indexes, gin_name
from retrieval.models import Document, DocumentVersion, Generation

GOAL_MS, GOAL_QUERIES = 300.0, 12
_WORDS = ("user_77", "invoice", "nothing like this", "hot-document")
_MOST_CHOICES = 12
_OF_INDEX = "index_id IN (SELECT id FROM retrieval_index WHERE name = 'big')"


async def measure(*, is_quick: bool) -> list[Row]:
    return await sync_to_async(_measure)(scale=0.1 if is_quick else 1.0, rounds=2 if is_quick else 3)


def _measure(scale: float, rounds: int) -> list[Row]:
    _empty()
    for filled in fill_tables(scale):
        say(f"{filled.rows:,} {filled.name}")
    keep_hours(checks_all=True)
    _index_words()
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["*"], False
    user, _ = get_user_model().objects.get_or_create(
        username="bench", defaults={"is_staff": True, "is_superuser": True}
    )
    client = Client()
    client.force_login(user)
    floor = [_took(client, reverse("chat:login"))[0] for _ in range(rounds)]
    rows, over = [], list[str]()
    groups = {
        model._meta.label: _pages(client, model)
        for model in sorted(admin.site._registry, key=lambda model: model._meta.label)
    }
    for label, urls in {**groups, **{name: [url] for name, url in _other_pages(client).items()}}.items():
        slowest: tuple[list[float], str] = ([0.0], "")
        most: tuple[int, str] = (0, "")
        for url in urls:
            taken = [_took(client, url) for _ in range(rounds)]
            times = [ms for ms, _ in taken]
            most = max(most, (max(count for _, count in taken), url))
            slowest = max(slowest, (times, url), key=lambda seen: min(seen[0]))
        say(f"{label}: {min(slowest[0]):.0f} ms, {slowest[1]}; {most[0]} queries, {most[1]}")
        if most[0] > GOAL_QUERIES:
            over.append(f"{most[0]} queries: {most[1]}")
        rows.append(
            Row(
                what=f"admin: {label}",
                ours=Spread.of(slowest[0]), floor=Spread.of(floor), goal=Limit(p50=GOAL_MS, p95=GOAL_MS),
            )
        )  # fmt: skip
    say("\n".join(["More queries than are allowed:", *over]) if over else f"No page takes {GOAL_QUERIES + 1} queries.")
    return rows


def _empty() -> None:
    """Remove what an earlier run filled, and nobody else forgets."""
    for generation in Generation.objects.filter(index__name="big"):
        drop_indexes(generation.pk)
    with connection.cursor() as cursor:
        for table in ("chunk", "documentversion", "document", "generation", "index"):
            of_index = {"index": "name = 'big'", "generation": _OF_INDEX, "document": _OF_INDEX}
            chosen = of_index.get(table, f"document_id IN (SELECT id FROM retrieval_document WHERE {_OF_INDEX})")
            if table == "documentversion":
                cursor.execute(f"UPDATE retrieval_document SET version_id = NULL WHERE {_OF_INDEX}")
            cursor.execute(f"DELETE FROM retrieval_{table} WHERE {chosen}")


def _index_words() -> None:
    """Build the index of the words of the filled generation, as it has one once it is large."""
    generation = Generation.objects.get(index__name="big").pk
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE INDEX {gin_name(generation)} ON retrieval_chunk USING gin (lexemes) WITH (fastupdate = off) "
            f"WHERE generation_id = {generation}"
        )


def _took(client: Client, url: str) -> tuple[float, int]:
    """Return a page's milliseconds, and its number of queries."""
    with CaptureQueriesContext(connection) as queries:
        started = time.perf_counter()
        status = client.get(url, follow=True).status_code
        took = (time.perf_counter() - started) * 1000
    assert status == 200, f"{status}: {url}"
    return took, len(queries)


def _listed(client: Client, url: str) -> Any:
    """Return the list behind a page; what tells it to tests would slow down what is measured, so it is off again."""
    setup_test_environment()
    try:
        return client.get(url).context.get("cl")
    finally:
        teardown_test_environment()


def _is_sortable(listed: Any, name: Any) -> bool:
    """Return whether the head of a column can be clicked."""
    return name in listed.sortable_by and listed.get_ordering_field(name) is not None


def _other_pages(client: Client) -> dict[str, str]:
    """Return pages by what they are: those of the menu that are no list, the charts, and the rarest or longest rows."""
    flow = reverse("admin:events_event_flow")
    conversations, chunks = (reverse(f"admin:{name}_changelist") for name in ("chat_conversation", "retrieval_chunk"))
    hot, newest = Document.objects.get(entity_id=HOT).pk, Conversation.objects.latest("pk").pk
    rare = DocumentVersion.objects.filter(document__entity_id=HOT).first()
    assert rare is not None
    return {
        "throughput": flow,
        "throughput, 30 days": f"{flow}?range=30d",
        "storage": reverse("common:storage"),
        "spending": reverse("spending:spending"),
        "inbox": reverse("inbox:inbox"),
        "search test": reverse("retrieval:search_test"),
        "500 chunks and 200 versions": reverse("admin:retrieval_document_change", args=[hot]),
        "a version of few traces": reverse("admin:retrieval_documentversion_change", args=[RARE_VERSION]),
        "a version of no trace": reverse("admin:retrieval_documentversion_change", args=[rare.pk]),
        "the newest conversation": reverse("admin:chat_conversation_change", args=[newest]),
        "conversations, last page": _last_page(client, conversations),
        "chunks, last page": _last_page(client, chunks),
    }


def _last_page(client: Client, url: str) -> str:
    return f"{url}?p={_listed(client, url).paginator.num_pages}"


def _pages(client: Client, model: Any) -> Iterator[str]:
    """Yield the list, sorts, searches and filters, each with its last page, and the first and last row's page."""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    url = reverse(f"{name}_changelist")
    listed = _listed(client, url)
    if listed is None:  # a table of one row, whose list is its page
        yield url
        return
    # Each column that can be sorted by, as a click on its head has it.
    sortable = [number for number, name in enumerate(listed.list_display) if _is_sortable(listed, name)]
    queries = ["?", *(f"?o={sign}{number}" for number in sortable for sign in ("", "-"))]
    if listed.search_fields:
        queries += [f"?q={words}" for words in _WORDS]
    for spec in listed.filter_specs:
        queries += [choice["query_string"] for choice in list(spec.choices(listed))[:_MOST_CHOICES]]
    for query in dict.fromkeys(queries):
        yield url + query
        if (last := _listed(client, url + query).paginator.num_pages) > 1:
            yield f"{url}{query}&p={last}"
    for row in (model._default_manager.order_by("pk").first(), model._default_manager.order_by("pk").last()):
        if row is not None:
            yield reverse(f"{name}_change", args=[row.pk])
