"""What is older than it is kept is removed, in batches, and what something kept refers to stays."""

from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.db.models import CASCADE, F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from chat.access.retention import ADMIN_LOG
from chat.models import (
    ApiKey,
    Conversation,
    CountedRequest,
    Customer,
    JoinedVisitor,
    KeyUse,
    Message,
    Reservation,
    ReservedCost,
)
from chat.retention import CONVERSATIONS, COUNTED, KEY_USE, VISITORS
from common import retention
from common.admin import stored
from common.redis import plain_redis
from common.retention import prune_kind
from contexts.models import ErasedTrace, Trace, TraceBody
from contexts.retention import TRACES
from events.models import Event
from events.retention import DEAD_EVENTS, EVENTS
from features.declaration import entity, feature
from features.models import FeatureValue, KnownEntity, MaterializationRun
from features.online import entity_key_of
from features.retention import ENTITIES, RUNS, VALUES
from retrieval.indexing.documents import delete_document, index_document
from retrieval.models import CalibrationRun, Document, DocumentVersion, EvaluationRun, Index, IngestionRun
from retrieval.retention import CALIBRATIONS, DELETED, EVALUATIONS, FILES, INGESTION, VERSIONS
from tests.factories import (
    CalibrationRunFactory,
    ChunkFactory,
    EvaluationRunFactory,
    EventFactory,
    FeatureValueFactory,
    IndexFactory,
    IngestionRunFactory,
    KnownEntityFactory,
    MaterializationRunFactory,
)

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


def test_runs_go_when_no_value_is_left_of_them() -> None:
    kept, _, unfinished = MaterializationRunFactory.create_batch(3, finished_at=LONG_AGO)
    MaterializationRun.objects.update(created_at=LONG_AGO)
    MaterializationRun.objects.filter(pk=unfinished.pk).update(finished_at=None)
    FeatureValueFactory.create(entity="User", entity_key="ana", run=kept)
    assert prune_kind(RUNS) == (1, True)
    assert set(MaterializationRun.objects.all()) == {kept, unfinished}


def value_of(key: str, *, entity: str = "User", is_old: bool = True, source: str = "computed") -> FeatureValue:
    at = LONG_AGO if is_old else timezone.now()
    return FeatureValueFactory.create(
        entity=entity, entity_key=key, feature="f", event_timestamp=at, created_at=at, source=source
    )


def known(key: str, entity: str = "User") -> None:
    KnownEntityFactory.create(entity=entity, entity_key=key, last_seen_at=LONG_AGO)


@pytest.mark.django_db(transaction=True)
def test_an_entity_that_was_not_seen_for_long_goes_with_its_values_online_too() -> None:
    Customer.objects.create(user_id="listed")
    for name, keys in (("Listed", Customer.objects.values_list("user_id")), ("Called", lambda: iter(["listed"]))):

        @entity(name=name, keys=keys)
        class Declared:
            user_id: str

    for name in ("Listed", "Called", "Gone"):
        for key in ("visitor", "listed", "set", "in use", "seen"):
            known(key, name)
            value_of(key, entity=name, source="set" if key == "set" else "computed")
        value_of("in use", entity=name, is_old=False)
        KnownEntity.objects.filter(entity=name, entity_key="seen").update(last_seen_at=timezone.now())
    key = entity_key_of("Gone", "visitor")
    plain_redis().hset(key, "f", "1")
    assert prune_kind(ENTITIES) == (4, True)
    left = KnownEntity.objects.order_by("entity", "entity_key").values_list("entity", "entity_key")
    assert [name for name, kind in left if kind == "listed"] == ["Called", "Listed"]
    assert not FeatureValue.objects.filter(entity_key="visitor").exists()
    assert FeatureValue.objects.filter(entity="Gone").count() == 4
    assert not plain_redis().exists(key)


def test_an_entity_with_a_row_in_a_features_queryset_stays() -> None:
    @entity()
    class Shop:
        user_id: str

    @feature(entity=Shop, source=Customer.objects, key="user_id", materialize=True)
    def tier_of(rows: Any) -> Any:
        return rows.annotate(value=F("tier"))

    Customer.objects.create(user_id="there")
    for key in ("there", "gone"):
        known(key, "Shop")
        value_of(key, entity="Shop")
    assert prune_kind(ENTITIES) == (1, True)
    assert KnownEntity.objects.get().entity_key == "there"
    KnownEntity.objects.all().delete()
    for source in ("materialized", "set"):
        value_of("unknown", entity="Shop", source=source)
    value_of("there", entity="Shop", source="materialized")
    FeatureValue.objects.filter(source="computed").delete()
    assert prune_kind(VALUES)[1]
    assert set(FeatureValue.objects.values_list("entity_key", "source")) == {
        ("there", "materialized"), ("unknown", "set")
    }  # fmt: skip


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
def test_a_version_stays_for_as_long_after_it_was_replaced() -> None:
    index_document("docs", "a", "The fee is 5.")
    DocumentVersion.objects.update(created_at=LONG_AGO)
    index_document("docs", "a", "The fee is 500.")
    assert prune_kind(VERSIONS) == (0, True)
    assert prune_kind(VERSIONS, now=timezone.now() + timedelta(days=366)) == (1, True)


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


@pytest.mark.usefixtures("embedder")
def test_a_row_that_left_its_table_is_withdrawn_also_after_the_runs_are_too_old(tmp_path: Path) -> None:
    table = tmp_path / "faq.csv"

    def load(*rows: str, **options: Any) -> None:
        table.write_text("\n".join(["id,text", *rows, ""]))
        call_command("index_documents", str(tmp_path), index="docs", stdout=StringIO(), **options)

    rows = [f"{number},Answer number {number}" for number in range(1, 11)]
    load(*rows)
    load(*rows[:-1])
    IngestionRun.objects.update(finished_at=LONG_AGO)
    assert prune_kind(FILES)[0] == 2 and prune_kind(INGESTION)[1]
    load(*rows[:-1], prune=True)
    gone = Document.objects.filter(deleted_at__isnull=False)
    assert [document.entity_id for document in gone] == ["faq/10"]


def test_of_evaluations_the_newest_of_each_kind_stays_and_of_calibrations_the_one_in_use() -> None:
    index = IndexFactory.create()
    other = EvaluationRunFactory.create(index=index, mode="lexical", state="done")
    runs = EvaluationRunFactory.create_batch(3, index=index, mode="hybrid", state="done")
    failed = EvaluationRunFactory.create(index=index, mode="hybrid", state="failed")
    running = EvaluationRunFactory.create(index=index, mode="hybrid", state="running")
    calibrations = CalibrationRunFactory.create_batch(4, index=index)
    Index.objects.update(threshold_run=calibrations[1])
    for model in (EvaluationRun, CalibrationRun):
        model.objects.update(created_at=LONG_AGO)
    assert prune_kind(EVALUATIONS) == (3, True)
    assert set(EvaluationRun.objects.all()) == {other, runs[2], running} and failed not in EvaluationRun.objects.all()
    assert prune_kind(CALIBRATIONS) == (2, True)
    assert set(CalibrationRun.objects.all()) == {calibrations[1], calibrations[3]}


def test_dead_events_go_later_than_processed_ones() -> None:
    now = timezone.now()
    for days in (40, 200):
        for state in ("done", "dead", "retrying"):
            EventFactory.create(state=state, received_at=now - timedelta(days=days))
    assert (prune_kind(EVENTS), prune_kind(DEAD_EVENTS)) == ((2, True), (1, True))
    left = Event.objects.order_by("pk").values_list("state", flat=True)
    assert sorted(left) == ["dead", "retrying", "retrying"]


def test_a_visitor_is_forgotten_once_nothing_stands_under_their_id() -> None:
    for visitor in ("visitor:1", "visitor:2", "visitor:3"):
        JoinedVisitor.objects.create(visitor=visitor, user_id="ada")
    JoinedVisitor.objects.update(joined_at=LONG_AGO)
    EventFactory.create(entity_id="visitor:1")
    Conversation.objects.create(user_id="visitor:2")
    assert prune_kind(VISITORS) == (1, True)
    assert set(JoinedVisitor.objects.values_list("pk", flat=True)) == {"visitor:1", "visitor:2"}


def test_what_a_crash_left_of_counts_and_reservations_goes_after_a_day() -> None:
    for created_at in (timezone.now(), timezone.now() - timedelta(days=2)):
        CountedRequest.objects.create(subject="address:192.0.2.1", token="t", created_at=created_at)
        Reservation.objects.create(user_id="u", token=str(created_at), created_at=created_at)
        ReservedCost.objects.create(subject="user:u", token="t", usd=1, created_at=created_at)
    assert [prune_kind(kind) for kind in COUNTED] == [(1, True)] * 3


def test_the_use_of_keys_goes_by_its_day() -> None:
    key, _ = ApiKey.make("k", ["chat"])
    key.save()
    for days in (0, 399, 401):
        KeyUse.objects.create(key=key, day=timezone.now().date() - timedelta(days=days))
    assert prune_kind(KEY_USE) == (1, True)


def test_every_table_goes_by_its_age_or_says_what_bounds_it() -> None:
    declared = [model for kind in retention.kinds for model in (kind.model, *kind.with_it)]
    stays = [model for tables in retention.bounded for model in tables.models]
    models = set(apps.get_models(include_auto_created=True))
    assert models == {*declared, *stays}
    assert len(stays) == len(set(stays))
    partly = {tables.models[0] for tables in retention.bounded if tables.which is not None}
    assert {*declared} & {*stays} == partly


def test_what_goes_with_a_row_does() -> None:
    """Each table that goes with another refers to it, directly or not, so that no row of it stays behind."""
    for kind in retention.kinds:
        gone = {kind.model}
        for model in [*kind.with_it] * len(kind.with_it):  # so often, for chains
            if any(
                field.remote_field.on_delete is CASCADE and field.related_model in gone for field in references(model)
            ):
                gone.add(model)
        assert gone == {kind.model, *kind.with_it}, kind.name


def references(model: Any) -> list[Any]:
    return [field for field in model._meta.concrete_fields if field.many_to_one or field.one_to_one]


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


def test_it_goes_on_where_it_stopped_and_passes_over_what_stays() -> None:
    kind = replace(CONVERSATIONS, batch=2)
    for number in range(5):  # all at one time
        state = "waiting" if number < 2 else "bot"
        Conversation.objects.create(user_id="u", state=state, last_message_at=LONG_AGO)
    calls = iter([False, True])
    assert prune_kind(kind, lambda: next(calls)) == (2, False)
    assert prune_kind(kind) == (1, True)
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
    (traces,) = [row for row in stored.stored_rows(timezone.now()) if row.kind is TRACES]
    assert (traces.rows, traces.past, traces.past_soon) == (2, 1, 1)
    (entries,) = [row for row in stored.stored_rows(timezone.now()) if row.kind is ADMIN_LOG]
    assert (entries.rows, entries.past) == (0, 0)  # where the planner, which knows nothing yet, takes it for some rows
    page = admin_client.get(reverse("common:storage")).content.decode()
    assert all(kind.name in page for kind in retention.kinds)
    assert all(tables.name in page and tables.reason in page for tables in retention.bounded)
    assert "FABRA_TRACE_RETENTION_DAYS" in page and "90 d" in page


def test_new_rows_are_those_that_were_written_lately() -> None:
    """A conversation, an entity or a session that is used again grows nothing."""
    for number in range(14):
        conversation = Conversation.objects.create(user_id="u")
        KnownEntityFactory.create(entity_key=str(number))
        Session.objects.create(session_key=str(number), expire_date=timezone.now() + timedelta(days=14))
        chunk = ChunkFactory.create()
        if number % 2:
            Conversation.objects.filter(pk=conversation.pk).update(created_at=LONG_AGO)
            KnownEntity.objects.filter(entity_key=str(number)).update(first_seen_at=LONG_AGO)
            Document.objects.filter(pk=chunk.document_id).update(created_at=LONG_AGO)
    rows = {row.kind.name: row for row in stored.stored_rows(timezone.now())}
    for name in ("conversations", "known entities"):
        assert (rows[name].rows, rows[name].added_a_day) == (14, 1), name
        assert rows[name].growth == rows[name].size / 14
    sessions = rows["sessions, once expired"]
    assert (sessions.rows, sessions.added_a_day, sessions.growth) == (14, None, 0)
    staying = {row.tables.name: row for row in stored.staying_rows(timezone.now())}
    for name in ("documents", "chunks, with vectors and HNSW"):
        assert (staying[name].rows, staying[name].added_a_day) == (14, 1), name
        assert staying[name].growth > 0


def test_the_page_reads_no_large_table() -> None:
    for _ in range(3):
        trace()
        ChunkFactory.create()
    with CaptureQueriesContext(connection) as queries:
        stored.stored_rows(timezone.now(), small=1)
        stored.staying_rows(timezone.now(), small=1)
    for table in ("contexts_trace", "retrieval_document", "retrieval_chunk"):
        of_table = [query["sql"] for query in queries if f'FROM "{table}"' in query["sql"]]
        assert of_table and all(sql.startswith("EXPLAIN") or "LIMIT 2" in sql for sql in of_table), table


def test_every_kind_goes_before_what_it_refers_to() -> None:
    order = [kind.name for kind in retention.kinds]
    for first, later in (("feature values", "materialisation runs"), ("document versions", "documents, once deleted")):
        assert order.index(first) < order.index(later)
