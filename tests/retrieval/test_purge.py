"""Purges: nothing of what a document said is left, in any table and in Redis, however the purge was asked for."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO
from threading import Event as Signal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.urls import reverse

from common.redis import plain_redis, redis_key
from contexts.models import Trace
from contexts.store import FeatureStore
from events.bus import dead_letter
from events.dead_letters import edit_payload, requeue
from events.event import AxiomEvent
from events.models import Event, EventEdit
from events.outbox import record_event, record_events
from events.processing import process
from features.online import plain_key
from retrieval.errors import DocumentNotFound
from retrieval.generations.lifecycle import find_index
from retrieval.generations.verification import repair, verify
from retrieval.indexing.documents import delete_document, index_document
from retrieval.indexing.purge import continue_purge, continue_purges, left_of, purge_document
from retrieval.ingestion.runs import RunOptions, open_upload
from retrieval.ingestion.work import execute_run
from retrieval.models import Document, DocumentVersion, IngestionFile, SourceDocument, SourceFile
from retrieval.retrievers.declaration import retriever
from retrieval.search.execute import search_sync

pytestmark = pytest.mark.django_db

SECRET = "xylocarpine"
NOW = datetime.now(UTC)


def said() -> list[str]:
    """Return the tables and the keys of Redis in which the secret stands."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        tables = [name for (name,) in cursor.fetchall()]
        found = []
        for name in tables:
            cursor.execute(f'SELECT count(*) FROM "{name}" t WHERE t::text ILIKE %s', [f"%{SECRET}%"])
            found += [name] if cursor.fetchone()[0] else []
    client = plain_redis()
    for key in client.scan_iter(match=f"{redis_key()}*" if redis_key() else "*"):
        if client.type(key) == "string" and SECRET in client.get(key):
            found.append(key)
    return found


def happened(event_type: str = "doc_updated", *, ago_s: float = 0, handled: bool = True, **payload: Any) -> Event:
    event = AxiomEvent(
        event_type=event_type, entity_id="a", payload={"index": "docs", **payload},
        occurred_at=datetime.now(UTC) - timedelta(seconds=ago_s),
    )  # fmt: skip
    row, _ = record_event(event, Event.Source.API)
    if handled:
        process(row.pk)
        row.refresh_from_db()
    return row


@pytest.fixture
def written() -> Document:
    """A document that said the secret in each way: versions, title, metadata, events, an edit, an upload, caches."""
    happened(content=f"# {SECRET} one\n\nOld text.", metadata={"k": SECRET}, ago_s=300)
    happened(content=f"The {SECRET} is here.", title=SECRET, ago_s=200)
    happened(content=f"It waits: {SECRET}.", ago_s=100, handled=False)
    dead = happened(content=3, note=SECRET, ago_s=90)
    assert dead.state == "dead" and edit_payload(dead, {"index": "docs", "content": f"{SECRET}!"}, "ann")
    fields = {"event_type": "doc_updated", "entity_id": "a", "payload": f'{{"content": "{SECRET}'}
    dead_letter("1767225600000-0", fields, "payload is no JSON.")
    index_document("docs", "b", "Of another document.")
    document = Document.objects.get(entity_id="a")
    document.text = f"Saved, with the {SECRET}."
    document.save()
    upload = open_upload("docs", [("c.md", f"C: {SECRET}".encode())], RunOptions(), source="s", started_by="ann")
    execute_run(upload.pk)
    purge_document("docs", "c")
    cached(SECRET)
    version = document.versions.latest("pk")
    trace = Trace.objects.create(
        context="c", max_tokens=1, tokens=1, kept=1, dropped=0, duration_ms=1, version_ids=[version.pk]
    )
    plain_redis().set(plain_key(f"trace:{trace.pk}"), f"A copy with {SECRET}.")
    assert {"retrieval_document", "retrieval_documentversion", "events_event", "events_eventedit"} < set(said())
    assert sum(key.startswith(redis_key()) for key in said()) == 2
    return document


def cached(query: str) -> Any:
    @retriever(name=f"purged {Signal()}", index="docs", cache_ttl="5m")
    def find(query: str) -> None: ...

    return async_to_sync(find)(query)


def by_api(client: Any) -> None:
    assert client.delete("/api/documents/a/?index_name=docs&purge=true").status_code == 204


def by_event(client: Any) -> None:
    row = happened("doc_deleted", purge=True)
    assert (row.state, row.outcomes.get().detail) == ("done", {"purged": 1, "left": []})


def by_command(client: Any) -> None:
    call_command("purge_documents", "docs", "a", no_input=True)


def by_code(client: Any) -> None:
    async_to_sync(FeatureStore().delete_document)("docs", "a", purge=True)


def by_admin(client: Any) -> None:
    url, pk = reverse("admin:retrieval_document_changelist"), Document.objects.get(entity_id="a").pk
    asked = client.post(url, {"action": "purge", "_selected_action": [pk]})
    assert "cannot be undone" in asked.content.decode() and SECRET in "".join(said()) + asked.content.decode()
    assert client.post(url, {"action": "purge", "_selected_action": [pk], "confirm": "yes"}).status_code == 302


@pytest.mark.parametrize("purge", [by_api, by_event, by_command, by_code, by_admin])
def test_nothing_is_left_however_it_was_asked_for(
    written: Document, admin_client: Any, purge: Callable[[Any], None]
) -> None:
    purge(admin_client)
    assert said() == []
    assert not [finding for finding in verify(find_index("docs"))]
    assert SECRET not in repr(search_sync("docs", SECRET, 50, audience="*").hits)
    assert search_sync("docs", "another").hits[0].document_id == "b"
    row = Document.objects.get(entity_id="a")
    assert (row.state, row.deleted_at is not None, row.purge_ended_at is not None) == ("deleted", True, True)
    assert list(row.versions.values_list("number", "text")) == [(2, ""), (1, "")]
    assert not Event.objects.due().filter(entity_id="a").exists()
    assert not Event.objects.filter(entity_id="a", state="dead").exists()
    url = reverse("admin:retrieval_document_change", args=[row.pk])
    assert "Purged at" in admin_client.get(url).content.decode()
    version = reverse("admin:retrieval_documentversion_change", args=[row.versions.first().pk])
    assert "Roll back" not in admin_client.get(version).content.decode()


def test_a_plain_deletion_keeps_what_a_purge_erases(written: Document, admin_client: Any) -> None:
    assert admin_client.delete("/api/documents/a/?index_name=docs").status_code == 204
    assert {"retrieval_documentversion", "events_event"} < set(said())
    by_api(admin_client)  # of a document that is deleted already
    assert said() == []


def test_it_is_idempotent_and_what_never_was_is_not_found(written: Document, admin_client: Any) -> None:
    for _ in range(2):
        by_api(admin_client)
        by_command(admin_client)
        assert happened("doc_deleted", purge=True).state == "done"
    assert admin_client.delete("/api/documents/never/?index_name=docs&purge=true").status_code == 404
    assert admin_client.delete("/api/documents/a/?index_name=docs&purge=perhaps").status_code == 400
    with pytest.raises(DocumentNotFound):
        purge_document("docs", "never")
    with pytest.raises(CommandError, match="1 of 2"):
        call_command("purge_documents", "docs", "a", "never", no_input=True)


def test_the_command_asks_first(written: Document, monkeypatch: Any) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "no")
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("purge_documents", "docs", "a")
    assert said()


def test_a_document_of_which_only_events_are_there_is_purged_too() -> None:
    index_document("docs", "b", "So that there is an index.")
    assert happened(content=7, note=SECRET).state == "dead"
    assert not Document.objects.filter(entity_id="a").exists()
    assert purge_document("docs", "a") == [] and said() == []


@pytest.mark.parametrize("many", [False, True])
def test_an_earlier_update_that_arrives_later_stays_out_and_leaves_nothing(many: bool, admin_client: Any) -> None:
    happened(content=f"The {SECRET}.", ago_s=60)
    happened("doc_deleted", purge=True)
    late = AxiomEvent(
        event_type="doc_updated", entity_id="a", payload={"index": "docs", "content": f"Late: {SECRET}."},
        occurred_at=datetime.now(UTC) - timedelta(seconds=30), id="late",
    )  # fmt: skip
    for is_new in (True, False):
        if many:
            result = record_events([late], Event.Source.API)[0]
            assert isinstance(result, tuple)
            row, new = result
        else:
            row, new = record_event(late, Event.Source.API)
        assert (row.state, new) == ("superseded", is_new) and said() == []
    assert process(row.pk) is None
    requeue(Event.objects.filter(pk=row.pk))
    process(row.pk)
    row.refresh_from_db()
    assert (row.state, row.payload) == ("superseded", {"index": "docs", "erased": True})
    body = {"event_type": "doc_updated", "entity_id": "a", "payload": {"index": "docs", "content": SECRET},
            "occurred_at": (datetime.now(UTC) - timedelta(seconds=20)).isoformat()}  # fmt: skip
    answer = admin_client.post("/api/events/", body, content_type="application/json")
    assert answer.status_code == 202 and answer.json()["state"] == "superseded" and said() == []
    with pytest.raises(DocumentNotFound):
        delete_document("docs", "a")
    assert happened(content="A new text.").state == "done"
    assert search_sync("docs", "text").hits[0].version == 2
    assert not list(verify(find_index("docs")))


def test_a_purge_that_arrives_late_erases_what_was_said_before_it_and_keeps_what_came_after() -> None:
    happened(content=f"The {SECRET}.", ago_s=60)
    DocumentVersion.objects.update(created_at=NOW - timedelta(seconds=60))
    happened(content="Cleaned.", ago_s=5)
    row = happened("doc_deleted", purge=True, ago_s=30)
    assert row.outcomes.get().detail == {"purged": 1, "left": []} and said() == []
    assert search_sync("docs", "cleaned").hits[0].content == "Cleaned."
    assert not list(verify(find_index("docs")))


def test_a_later_deletion_does_not_skip_a_purge_that_waits() -> None:
    happened(content=f"The {SECRET}.", ago_s=60)
    waiting = happened("doc_deleted", purge=True, ago_s=30, handled=False)
    happened("doc_deleted", ago_s=10)
    waiting.refresh_from_db()
    assert waiting.state == "received" and said()
    process(waiting.pk)
    assert said() == []


def test_a_redis_that_is_down_delays_the_end_and_hides_nothing(
    written: Document, admin_client: Any, settings: Any
) -> None:
    working, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    plain_redis.cache_clear()
    answer = admin_client.delete("/api/documents/a/?index_name=docs&purge=true")
    assert answer.status_code == 202 and "Redis does not answer" in answer.json()["left"][0]
    findings = list(verify(find_index("docs")))
    assert {finding.check for finding in findings} == {"purge"} and len(findings) == 2
    settings.REDIS_URL = working
    plain_redis.cache_clear()
    assert all(key.startswith(redis_key()) for key in said()) and len(said()) == 2
    assert any("cached passages" in str(finding) for finding in verify(find_index("docs")))
    continue_purges()
    assert said() == [] and not list(verify(find_index("docs")))


def test_purges_of_one_index_end_together_and_as_many_as_there_is_time_for(written: Document, settings: Any) -> None:
    working, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    plain_redis.cache_clear()
    index_document("docs", "b", "Another.")
    for name in "ab":
        assert purge_document("docs", name)
    continue_purges()  # which does not try each while Redis is down
    unended = Document.objects.purged().filter(purge_ended_at=None)
    assert unended.count() == 2
    settings.REDIS_URL = working
    plain_redis.cache_clear()
    continue_purges(until=lambda: unended.count() < 2)
    assert unended.count() == 1
    continue_purges()
    assert not unended.exists() and not list(verify(find_index("docs")))


def test_what_is_left_is_found_and_repaired(written: Document) -> None:
    purge_document("docs", "a")
    row = Document.objects.get(entity_id="a")
    Document.objects.filter(pk=row.pk).update(text=SECRET)
    DocumentVersion.objects.filter(document=row, number=1).update(text=SECRET)
    Event.objects.filter(entity_id="a").exclude(digest="").update(payload={"index": "docs", "content": SECRET})
    edit = EventEdit.objects.create(
        event=Event.objects.filter(entity_id="a").latest("pk"), before={"x": SECRET}, after={}
    )
    plain_redis().set(redis_key("retriever", "x"), f'{{"versions": {{"{row.index_id}": 1}}, "value": "{SECRET}"}}')
    found = [str(finding) for finding in verify(find_index("docs"))]
    for words in ("its row says", "1 of its versions", "of its events say", "cached passages"):
        assert any(words in text for text in found), (words, found)
    assert any(text.startswith("purge: a was purged, and") for text in found)
    repair(find_index("docs"), list(verify(find_index("docs"))))
    edit.refresh_from_db()
    assert said() == [] and not list(verify(find_index("docs")))


@pytest.mark.django_db(transaction=True)
def test_an_event_that_was_being_recorded_meanwhile_is_erased_by_the_sweep() -> None:
    happened(content=f"The {SECRET}.", ago_s=60)
    started, purged = Signal(), Signal()

    def record() -> None:
        try:
            with transaction.atomic():
                happened(content=f"Late: {SECRET}.", ago_s=10, handled=False)
                started.set()
                assert purged.wait(30)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        recording = pool.submit(record)
        assert started.wait(30)
        purge_document("docs", "a")
        purged.set()
        recording.result()
    assert said() == ["events_event"]
    assert [finding.check for finding in verify(find_index("docs"))] == ["purge"]
    continue_purges()
    assert said() == [] and not list(verify(find_index("docs")))


def test_an_answer_that_was_being_cached_meanwhile_is_not_kept() -> None:
    index_document("docs", "a", f"The {SECRET}.")

    @retriever(name="slow", cache_ttl="5m")
    async def find(query: str) -> Any:
        hits = await FeatureStore().search("docs", query)
        await FeatureStore().delete_document("docs", "a", purge=True)
        return hits

    assert async_to_sync(find)("q")[0].content == f"The {SECRET}."
    assert said() == []
    index_document("docs", "b", "Another.")
    cached("q")
    assert len(list(plain_redis().scan_iter(match=f"{redis_key('retriever')}:*"))) == 1  # what came after is kept


def test_an_upload_that_waits_delays_the_end(written: Document) -> None:
    upload = open_upload("docs", [("a.md", f"Of a: {SECRET}".encode())], RunOptions(), source="s", started_by="ann")
    left = purge_document("docs", "a")
    assert left == [f"files were uploaded that may hold it, until the ingestion run #{upload.pk} ends"]
    assert execute_run(upload.pk)
    assert continue_purge(written) == [] and said() == []
    assert not Document.objects.live().filter(entity_id="a").exists()


def test_a_file_that_has_not_changed_does_not_bring_a_purged_document_back(tmp_path: Any) -> None:
    for name in "ab":
        (tmp_path / f"{name}.md").write_text(f"Text of {name}: {SECRET}.")
    arguments = ("index_documents", str(tmp_path), "--index", "docs", "--source", "s")
    call_command(*arguments)
    purge_document("docs", "a")
    call_command(*arguments)
    assert list(Document.objects.live().values_list("entity_id", flat=True)) == ["b"]
    assert SourceDocument.objects.count() == 1
    (tmp_path / "a.md").write_text("A new text.")
    call_command(*arguments)
    assert Document.objects.live().count() == 2


def test_the_purge_of_an_event_is_true_or_false(admin_client: Any) -> None:
    body = {"event_type": "doc_deleted", "entity_id": "a", "payload": {"purge": "yes"}}
    answer = admin_client.post("/api/events/", body, content_type="application/json")
    assert answer.status_code == 400 and "must be true or false" in answer.json()["error"]["message"]


def test_what_readers_said_of_its_file_is_erased_found_and_repaired(tmp_path: Any) -> None:
    (tmp_path / "a.md").write_bytes(f"The \xe9{SECRET} is caf\xe9. ".encode("latin-1") * 3)
    (tmp_path / "t.csv").write_bytes(f"id,text\n1,The \xe9{SECRET} is caf\xe9\n".encode("latin-1"))
    out = StringIO()
    call_command("index_documents", str(tmp_path), "--index", "docs", "--source", "s", stdout=out, stderr=out)
    rows = IngestionFile.objects.exclude(warnings=[])
    assert rows.count() == 2 and SECRET in json.dumps(list(rows.values_list("warnings", flat=True)))
    assert purge_document("docs", "a") == [] and purge_document("docs", "t/1") == []
    assert not rows.exists() and not SourceFile.objects.exclude(warnings=[]).exists()
    IngestionFile.objects.filter(path="a.md").update(warnings=[{"code": "x", "message": SECRET}])
    document = Document.objects.get(entity_id="a")
    assert list(left_of(document)) == ["1 rows have warnings or digests about the file that it came from"]
    assert continue_purge(document) == [] and not rows.exists()
