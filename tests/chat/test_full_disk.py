"""A PostgreSQL that takes no row, read-only or with a full disk: a 503, nothing half written, and nothing lost."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone

from chat.definitions import store
from chat.models import Conversation, Message
from common import full_disk
from common.redis import plain_redis, redis_key
from contexts.models import Trace
from events import tasks
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from features.models import FeatureValue
from retrieval.indexing.documents import index_document
from retrieval.models import Chunk, Document, DocumentVersion
from tests.chat.conftest import fill
from tests.model_server import ModelServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("embedder")]

# The last table that each kind of work writes, so that what came before it must be rolled back.
TABLES = ("chat_message", "contexts_tracebody", "events_event", "retrieval_chunk", "features_featurevalue")


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


class Outage:
    """PostgreSQL refuses rows from `begin` to `end`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def begin(self) -> None:
        if self.kind == "read-only":
            return run("SET default_transaction_read_only = on")
        run(
            "CREATE OR REPLACE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$",
            *(
                f"CREATE TRIGGER disk_is_full BEFORE INSERT OR UPDATE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION disk_is_full()"
                for table in TABLES
            ),
        )

    def end(self) -> None:
        run(
            "SET default_transaction_read_only = off",
            *(f"DROP TRIGGER IF EXISTS disk_is_full ON {table}" for table in TABLES),
        )


@pytest.fixture(params=["read-only", "disk full"])
def outage(request: pytest.FixtureRequest, settings: Any) -> Iterator[Outage]:
    settings.DEBUG = True
    fill()
    outage = Outage(request.param)
    yield outage
    outage.end()


def counts() -> list[int]:
    models = (Conversation, Message, Trace, Event, Document, DocumentVersion, Chunk, FeatureValue)
    return [model.objects.count() for model in models]


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_chat_is_a_503_and_is_not_counted(outage: Outage, ask: Callable[..., Any], model: ModelServer) -> None:
    before = counts()
    outage.begin()
    for _ in range(2):
        status, code = code_of(ask())
        assert (status, code in ("database_unavailable", "trace_not_written")) == (503, True)
    assert model.requests == []
    outage.end()
    assert counts()[:4] == before[:4]
    answer = ask()
    assert answer.status_code == 200
    assert int(answer.headers["X-RateLimit-Remaining"]) == int(answer.headers["X-RateLimit-Limit"]) - 1


def test_a_full_disk_is_told_as_long_as_it_is_met(
    outage: Outage, ask: Callable[..., Any], client: Client, caplog: Any
) -> None:
    assert client.get("/readyz").json()["postgresql"] == "ok"
    outage.begin()
    assert ask().status_code == 503
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["postgresql"]) == (503, outage.kind)
    assert ("its disk is full" in caplog.text) == (outage.kind == "disk full")
    outage.end()
    assert not full_disk.was_full(within_s=0.0)
    full_disk.forget_full_disk()
    assert client.get("/readyz").status_code == 200


def test_events_and_documents_are_refused_whole(outage: Outage, client: Client) -> None:
    before = counts()
    outage.begin()
    event = {"event_type": "message_sent", "entity_id": "user_123", "payload": {}}
    document = {"index_name": "knowledge_base", "entity_id": "new", "text": "Penguins."}
    for path, body in (("/api/events/", event), ("/api/documents/", document)):
        assert code_of(client.post(path, body, content_type="application/json")) == (503, "database_unavailable")
    with pytest.raises(DatabaseError):
        index_document("knowledge_base", "reset-your-password", "Another text.")
    outage.end()
    assert counts() == before
    assert Document.objects.get(entity_id="reset-your-password").text != "Another text."
    assert client.post("/api/events/", event, content_type="application/json").status_code == 202


def test_an_event_waits_in_the_outbox_until_it_can_be_processed(outage: Outage) -> None:
    payload = {"content": "# Passwords\n\nPenguins reset them.", "index": "knowledge_base"}
    event = AxiomEvent(event_type="doc_updated", entity_id="reset-your-password", payload=payload)
    row, _ = record_event(event, Event.Source.API)
    outage.begin()
    with pytest.raises(DatabaseError):
        tasks.process_event(row.pk)
    outage.end()
    row.refresh_from_db()
    assert row.state in (Event.State.RECEIVED, Event.State.RUNNING)
    assert "Penguins" not in Document.objects.get(entity_id="reset-your-password").text
    Event.objects.update(dispatched_at=timezone.now().replace(year=2020), started_at=timezone.now().replace(year=2020))
    tasks.sweep()
    tasks.process_event(row.pk)
    row.refresh_from_db()
    assert row.state == Event.State.DONE
    assert "Penguins" in Document.objects.get(entity_id="reset-your-password").text


def test_no_value_is_online_that_is_not_stored(outage: Outage) -> None:
    async_to_sync(store.set_feature)("user_tier", "user_123", "free")
    key = redis_key("values", "User", "user_123")
    before = plain_redis().hget(key, "user_tier")
    outage.begin()
    with pytest.raises(DatabaseError):
        async_to_sync(store.set_feature)("user_tier", "user_123", "premium")
    assert plain_redis().hget(key, "user_tier") == before
    assert async_to_sync(store.get_feature)("user_tier", "user_123") == "free"


@pytest.mark.parametrize("outage", ["read-only"], indirect=True)
def test_readyz_says_that_it_is_read_only(outage: Outage, client: Client) -> None:
    assert client.get("/readyz").json()["postgresql"] == "ok"
    outage.begin()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["postgresql"]) == (503, "read-only")
