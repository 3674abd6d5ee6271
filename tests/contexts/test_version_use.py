"""A trace knows the document versions that its searches found, and the admin finds it by them."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import Client
from django.urls import reverse

from contexts.declaration import context
from contexts.items import ContextItem
from contexts.models import Trace
from contexts.store import FeatureStore
from retrieval.indexing.documents import index_document
from retrieval.models import Document

pytestmark = pytest.mark.django_db
store = FeatureStore()


@pytest.fixture
def ask() -> Any:
    @context(store, max_tokens=500)
    async def birds(user_id: str, query: str) -> list[ContextItem]:
        return [ContextItem(hit.content) for hit in await store.search("birds", query)]

    return async_to_sync(birds)


def version_of(entity_id: str) -> int:
    return Document.objects.get(entity_id=entity_id).version_id or 0


def test_a_trace_keeps_the_versions_that_it_found(ask: Any, admin_client: Client) -> None:
    index_document("birds", "penguins", "Penguins live in the south.")
    first = version_of("penguins")
    before = ask("tom", query="Where do penguins live?").id
    index_document("birds", "penguins", "Penguins live in the zoo.")
    index_document("birds", "gulls", "Gulls live at the sea.")
    after = ask("tom", query="Where do penguins live?").id
    assert Trace.objects.get(pk=before).version_ids == [first]
    assert Trace.objects.get(pk=after).version_ids == sorted([version_of("penguins"), version_of("gulls")])

    page = admin_client.get(reverse("admin:retrieval_documentversion_change", args=[first])).content.decode()
    trace_list = reverse("admin:contexts_trace_changelist")
    assert reverse("admin:contexts_trace_change", args=[before]) in page
    assert reverse("admin:contexts_trace_change", args=[after]) not in page
    for value, expected in [(first, {before}), (version_of("gulls"), {after}), ("x", {before, after})]:
        shown = admin_client.get(trace_list, {"version": value}).context["cl"].result_list
        assert {str(trace.pk) for trace in shown} == expected


def test_the_traces_of_a_version_are_found_by_an_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO contexts_trace (id, context, user_id, query, state, max_tokens, tokens, kept, dropped,"
            " duration_ms, flags, digest, created_at, answer, model, error_code, version_ids)"
            " SELECT gen_random_uuid(), 'c', 'u', 'q', 'answered', 1, 1, 1, 0, 1, '[]', '', now(), '', '', '',"
            " ARRAY[n, n + 1] FROM generate_series(1, 20000) n"
        )
        # As autovacuum does in time.
        cursor.execute("SELECT gin_clean_pending_list('trace_by_version'); ANALYZE contexts_trace")
    used = Trace.objects.filter(version_ids__contains=[777]).order_by("-created_at")
    assert used.count() == 2
    assert "trace_by_version" in used.explain()
