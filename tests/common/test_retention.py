"""What is older than it is kept is removed, in batches, and what something kept refers to stays."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from chat.models import Conversation, Message
from chat.retention import ADMIN_LOG, CONVERSATIONS
from common import retention
from common.admin import storage
from common.retention import prune, prune_kind
from contexts.models import ErasedTrace, Trace, TraceBody
from contexts.retention import TRACES
from features.models import FeatureValue, KnownEntity, MaterializationRun
from features.retention import ENTITIES, RUNS, VALUES
from retrieval.indexing.documents import delete_document, index_document
from retrieval.models import Document, DocumentVersion, IngestionRun
from retrieval.retention import DELETED, INGESTION, VERSIONS
from tests.factories import (
    FeatureValueFactory,
    IngestionRunFactory,
    KnownEntityFactory,
    MaterializationRunFactory,
)  # fmt: skip

pytestmark = pytest.mark.django_db

LONG_AGO = timezone.now() - timedelta(days=3000)


def trace(version_ids: list[int] | None = None, *, is_old: bool = True) -> Trace:
    made = Trace.objects.create(
        context="c", user_id="u", max_tokens=1, tokens=1, kept=1, dropped=0, duration_ms=1, digest="d",
        version_ids=version_ids or [], created_at=LONG_AGO if is_old else timezone.now(),
    )  # fmt: skip
    TraceBody.objects.create(trace=made, text="{}")
    return made


def test_old_traces_go_with_their_bodies_and_messages_stay() -> None:
    old, young = trace(), trace(is_old=False)
    conversation = Conversation.objects.create(user_id="u")
    said = Message.objects.create(conversation=conversation, user_id="u", role="assistant", text="A.", trace=old)
    assert prune_kind(TRACES) == (1, True)
    assert list(Trace.objects.all()) == [young] and TraceBody.objects.get().trace == young
    said.refresh_from_db()
    assert said.trace is None


def test_an_old_conversation_goes_with_its_traces_unless_somebody_waits_in_it() -> None:
    traces = {}
    for state in Conversation.State.values:
        conversation = Conversation.objects.create(user_id="u", state=state, last_message_at=LONG_AGO)
        traces[state] = trace(is_old=False)
        Message.objects.create(conversation=conversation, user_id="u", role="assistant", text="A.", trace=traces[state])
    Conversation.objects.create(user_id="u")
    assert prune_kind(CONVERSATIONS) == (2, True)
    left = Conversation.objects.filter(last_message_at=LONG_AGO).values_list("state", flat=True)
    assert set(left) == {"waiting", "person"}
    assert set(ErasedTrace.objects.values_list("pk", flat=True)) == {traces["bot"].pk, traces["closed"].pk}
    assert Message.objects.count() == 2


def test_of_old_values_the_newest_of_each_entity_stays() -> None:
    for key, count in (("ana", 3), ("ben", 1)):
        for number in range(count):
            at = LONG_AGO + timedelta(days=number)
            value = FeatureValueFactory.create(entity="User", entity_key=key, feature="f", event_timestamp=at)
            FeatureValue.objects.filter(pk=value.pk).update(created_at=at)
    assert prune_kind(VALUES) == (2, True)
    left = FeatureValue.objects.values_list("entity_key", "event_timestamp")
    assert set(left) == {("ana", LONG_AGO + timedelta(days=2)), ("ben", LONG_AGO)}


def test_runs_and_entities_go_when_no_value_is_left_of_them() -> None:
    kept, _, unfinished = MaterializationRunFactory.create_batch(3, finished_at=LONG_AGO)
    MaterializationRun.objects.update(created_at=LONG_AGO)
    MaterializationRun.objects.filter(pk=unfinished.pk).update(finished_at=None)
    FeatureValueFactory.create(entity="User", entity_key="ana", run=kept)
    for key in ("ana", "ben"):
        KnownEntityFactory.create(entity="User", entity_key=key, last_seen_at=LONG_AGO)
    assert (prune_kind(RUNS), prune_kind(ENTITIES)) == ((1, True), (1, True))
    assert set(MaterializationRun.objects.all()) == {kept, unfinished}
    assert KnownEntity.objects.get().entity_key == "ana"


@pytest.mark.usefixtures("embedder")
def test_a_version_stays_while_it_is_served_or_a_trace_used_it() -> None:
    for text in ("one", "two", "three"):
        index_document("docs", "a", text)
    first, _, third = DocumentVersion.objects.order_by("number")
    used = trace([first.pk], is_old=False)
    DocumentVersion.objects.update(created_at=LONG_AGO)
    assert prune_kind(VERSIONS) == (1, True)
    assert set(DocumentVersion.objects.all()) == {first, third}
    used.delete()
    assert prune_kind(VERSIONS) == (1, True)
    assert DocumentVersion.objects.get() == third


@pytest.mark.usefixtures("embedder")
def test_a_document_that_was_deleted_long_ago_goes_after_its_versions() -> None:
    for entity_id in ("gone", "just gone", "there"):
        index_document("docs", entity_id, "Text.")
    for entity_id in ("gone", "just gone"):
        delete_document("docs", entity_id)
    DocumentVersion.objects.update(created_at=LONG_AGO)
    Document.objects.filter(entity_id="gone").update(deleted_at=LONG_AGO)
    assert prune_kind(DELETED) == (0, True)  # its version is still there
    assert (prune_kind(VERSIONS), prune_kind(DELETED)) == ((1, True), (1, True))
    assert set(Document.objects.values_list("entity_id", flat=True)) == {"just gone", "there"}


def test_ingestion_runs_and_the_log_go_by_their_time(admin_user: User) -> None:
    IngestionRunFactory.create(finished_at=LONG_AGO)
    IngestionRunFactory.create(finished_at=None)
    kind = ContentType.objects.get_for_model(Document)
    for at in (LONG_AGO, timezone.now()):
        LogEntry.objects.create(user=admin_user, content_type=kind, object_id="1", action_flag=2, action_time=at)
    assert (prune_kind(INGESTION), prune_kind(ADMIN_LOG)) == ((1, True), (1, True))
    assert IngestionRun.objects.count() == LogEntry.objects.count() == 1


def test_what_is_to_be_kept_for_ever_is(settings: Any) -> None:
    trace()
    settings.FABRA_TRACE_RETENTION = timedelta(0)
    assert prune_kind(TRACES) == (0, True)


def test_it_goes_on_where_it_stopped_and_passes_over_what_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(5):  # all at one time
        state = "waiting" if number < 2 else "bot"
        Conversation.objects.create(user_id="u", state=state, last_message_at=LONG_AGO)
    calls = iter([False, False, True])
    assert prune_kind(CONVERSATIONS, lambda: next(calls)) == (2, False)
    assert prune(lambda: False)
    assert Conversation.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_row_that_somebody_holds_is_left_for_the_next_time() -> None:
    held, _ = (Conversation.objects.create(user_id="u", last_message_at=LONG_AGO) for _ in range(2))
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT FROM chat_conversation WHERE id = %s FOR UPDATE", [held.pk])
        assert prune_kind(CONVERSATIONS) == (1, True)
    assert Conversation.objects.get() == held


def test_the_page_counts_what_is_small(admin_client: Client) -> None:
    trace()
    trace(is_old=False)
    (traces,) = [row for row in storage.stored_rows(timezone.now()) if row.kind is TRACES]
    assert (traces.rows, traces.past, traces.past_soon) == (2, 1, 1)
    (entries,) = [row for row in storage.stored_rows(timezone.now()) if row.kind is ADMIN_LOG]
    assert (entries.rows, entries.past) == (0, 0)  # where the planner, which knows nothing yet, takes it for some rows
    page = admin_client.get(reverse("common:storage")).content.decode()
    assert all(kind.name in page for kind in retention.kinds)
    assert "FABRA_TRACE_RETENTION_DAYS" in page and "90 d" in page


def test_the_page_reads_no_large_table(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_SMALL", 1)
    for _ in range(3):
        trace()
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(reverse("common:storage"))
    of_traces = [query["sql"] for query in queries if 'FROM "contexts_trace"' in query["sql"]]
    assert of_traces and all(sql.startswith("EXPLAIN") or "LIMIT 2" in sql for sql in of_traces)


def test_every_kind_goes_before_what_it_refers_to() -> None:
    order = [kind.name for kind in retention.kinds]
    for first, later in (("feature values", "materialisation runs"), ("document versions", "documents, once deleted")):
        assert order.index(first) < order.index(later)
