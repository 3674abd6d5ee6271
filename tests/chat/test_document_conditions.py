"""A document is changed only in the version that its writer has seen, and what changed since a time is listed."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test import Client
from django.utils import timezone

from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from events.processing import process
from retrieval.changes import changed_after
from retrieval.indexing.documents import delete_document, index_document
from retrieval.models import Document, DocumentVersion, Index
from tests.factories import DocumentFactory, IndexFactory
from tests.plans import indexes_give_the_order

DOCUMENT = "/api/documents/a/?index_name=docs"


@pytest.fixture
def api(settings: Any, db: Any, embedder: Any, client: Client) -> Client:
    settings.DEBUG = True
    return client


def write(client: Client, text: str, **headers: str) -> Any:
    body = {"index_name": "docs", "entity_id": "a", "text": text}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/api/documents/", body, content_type="application/json", headers=named)


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


CHANGED = (412, "document_changed")


class TestVersions:
    def test_a_document_that_is_known_is_not_sent_again(self, api: Client) -> None:
        tag = write(api, "Penguins.").headers["ETag"]
        shown = api.get(DOCUMENT)
        assert (tag, shown.headers["ETag"], shown.json()["etag"]) == ('"v1"', '"v1"', '"v1"')
        for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = api.get(DOCUMENT, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        write(api, "Bears.")
        assert api.get(DOCUMENT, headers={"If-None-Match": tag}).json()["text"] == "Bears."

    def test_a_failure_is_another_state_of_the_same_version(self, api: Client) -> None:
        write(api, "Penguins.")
        Document.objects.update(state=Document.State.FAILED, failures=1)
        shown = api.get(DOCUMENT, headers={"If-None-Match": '"v1"'})
        assert (shown.status_code, shown.json()["state"]) == (200, "failed")
        assert write(api, "Bears.", If_Match=shown.headers["ETag"]).status_code == 201

    def test_it_is_written_and_deleted_in_the_named_version_only(self, api: Client) -> None:
        write(api, "Penguins.")
        assert write(api, "Bears.", If_Match='"v1"').headers["ETag"] == '"v2"'
        for text in ("Whales.", "Bears."):  # also what would change nothing
            assert code_of(write(api, text, If_Match='"v1"')) == CHANGED
        assert code_of(write(api, "Whales.", If_Match='W/"v2"')) == CHANGED
        assert code_of(write(api, "Whales.", If_Match='"else"')) == CHANGED
        assert write(api, "Whales.", If_Match='"v1", "v2"').status_code == 201
        for path in (DOCUMENT, f"{DOCUMENT}&purge=true"):
            assert code_of(api.delete(path, headers={"If-Match": '"v2"'})) == CHANGED
        assert api.delete(DOCUMENT, headers={"If-Match": '"v3"'}).status_code == 204
        for tag in ('"v3"', "*"):
            assert code_of(write(api, "Whales.", If_Match=tag)) == CHANGED
        # Its numbers go on, so that an old tag never fits a new document.
        assert write(api, "Whales.", If_None_Match="*").headers["ETag"] == '"v4"'

    def test_it_is_created_only_where_there_is_none(self, api: Client) -> None:
        assert write(api, "Penguins.", If_None_Match="*").status_code == 201
        assert code_of(write(api, "Bears.", If_None_Match="*")) == CHANGED
        assert DocumentVersion.objects.count() == 1

    def test_a_condition_that_is_none_is_told(self, api: Client) -> None:
        for headers in ({"If_Match": "v1"}, {"If_Match": '"v1", v2'}, {"If_Match": ""}, {"If_None_Match": '"v1"'}):
            assert code_of(write(api, "Penguins.", **headers)) == (400, "invalid_input")

    def test_both_conditions_are_never_met(self, api: Client) -> None:
        assert code_of(write(api, "Penguins.", If_Match="*", If_None_Match="*")) == CHANGED
        write(api, "Penguins.")
        for tag in ("*", '"v1"'):
            assert code_of(write(api, "Bears.", If_Match=tag, If_None_Match="*")) == CHANGED

    def test_a_change_that_waits_in_the_outbox_was_not_seen_either(self, api: Client) -> None:
        write(api, "Penguins.")
        payload = {"index": "docs", "content": "Bears."}
        waiting, _ = record_event(AxiomEvent(event_type="doc_updated", entity_id="a", payload=payload), "api")
        assert code_of(write(api, "Whales.", If_Match='"v1"')) == CHANGED
        process(waiting.pk)
        assert code_of(write(api, "Whales.", If_Match='"v1"')) == CHANGED
        assert write(api, "Whales.", If_Match='"v2"').status_code == 201

    def test_an_event_from_before_a_write_changes_nothing_any_more(self, api: Client) -> None:
        moment = timezone.now()
        write(api, "Penguins.", If_None_Match="*")
        payload = {"index": "docs", "content": "Bears."}
        late = AxiomEvent(event_type="doc_updated", entity_id="a", payload=payload, occurred_at=moment)
        process(record_event(late, "api")[0].pk)
        assert write(api, "Whales.", If_Match='"v1"').status_code == 201
        assert Event.objects.get().state == Event.State.SUPERSEDED


@pytest.mark.django_db(transaction=True)
def test_of_two_writers_of_one_version_one_is_refused(settings: Any, embedder: Any) -> None:
    settings.DEBUG = True
    index_document("docs", "a", "Penguins.")
    answers: list[int] = []

    def send(text: str) -> None:
        answers.append(write(Client(), text, If_Match='"v1"').status_code)
        connection.close()

    threads = [threading.Thread(target=send, args=(f"Text {number}.",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201, 412, 412, 412, 412]
    assert DocumentVersion.objects.count() == 2


class TestChanges:
    @pytest.fixture
    def docs(self, db: Any) -> Index:
        """An index with five documents that changed an hour ago, at one time."""
        index: Index = IndexFactory.create(name="docs")
        for number in range(5):
            DocumentFactory.create(index=index, entity_id=str(number))
        Document.objects.update(updated_at=timezone.now() - timedelta(hours=1))
        return index

    def follow(self, client: Client, since: Any, **params: Any) -> tuple[list[str], str]:
        """Return the ids of all pages, and from where to go on."""
        query = {"index_name": "docs", "updated_since": since, "page_size": 2, **params}
        page = client.get("/api/documents/", query).json()
        ids = [row["entity_id"] for row in page["results"]]
        while page["next"]:
            page = client.get(page["next"]).json()
            ids += [row["entity_id"] for row in page["results"]]
        return ids, page["updated_until"]

    def test_each_change_is_listed_once_and_a_deletion_too(self, api: Client, docs: Index) -> None:
        ids, until = self.follow(api, "2026-01-01T00:00:00Z")
        assert ids == ["0", "1", "2", "3", "4"]
        assert self.follow(api, until)[0] == []
        delete_document("docs", "3")
        Document.objects.filter(entity_id="1").update(updated_at=timezone.now())
        Document.objects.filter(entity_id__in="13").update(updated_at=F("updated_at") - timedelta(seconds=5))
        connection.cursor().execute("SELECT pg_sleep(0.01)")
        page = api.get("/api/documents/", {"index_name": "docs", "updated_since": until}).json()
        assert {row["entity_id"]: row["state"] for row in page["results"]} == {"1": "indexed", "3": "deleted"}
        assert [row["deleted_at"] is None for row in page["results"]] == [
            row["entity_id"] == "1" for row in page["results"]
        ]

    def test_what_comes_in_between_two_pages_is_neither_lost_nor_makes_a_row_come_twice(
        self, api: Client, docs: Index
    ) -> None:
        first = api.get("/api/documents/", {"updated_since": "2026-01-01 00:00:00+00:00", "page_size": 3}).json()
        Document.objects.filter(entity_id="0").update(updated_at=F("updated_at") + timedelta(minutes=1))
        DocumentFactory.create(index=docs, entity_id="new")
        second = api.get(first["next"]).json()
        assert [row["entity_id"] for row in first["results"]] == ["0", "1", "2"]
        assert [row["entity_id"] for row in second["results"]] == ["3", "4", "0"]

    def test_changes_are_read_forwards_only(self, api: Client, docs: Index) -> None:
        page = api.get("/api/documents/", {"updated_since": "2026-01-01T00:00:00Z", "page_size": 2}).json()
        assert page["previous"] is None
        assert api.get(page["next"]).json()["previous"] is None
        schema = api.get("/api/schema/?format=json").json()["components"]["schemas"]["PaginatedDocumentList"]
        assert "forwards only" in schema["properties"]["previous"]["description"]

    def test_odd_times_are_refused(self, api: Client, docs: Index) -> None:
        for since in ("", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9" * 400):
            assert api.get("/api/documents/", {"updated_since": since}).status_code == 400, since

    def test_an_index_gives_the_rows_and_their_order(self, docs: Index) -> None:
        rows = changed_after(Document.objects.filter(index=docs), (timezone.now(), 0), timezone.now())
        with indexes_give_the_order():
            plan = rows[:50].explain()
        assert "document_changes" in plan and "Sort" not in plan


@pytest.mark.django_db(transaction=True)
def test_what_a_running_transaction_changes_is_not_passed_over(settings: Any, client: Client) -> None:
    settings.DEBUG = True
    index = IndexFactory.create(name="docs")
    long_ago, now = timezone.now() - timedelta(hours=1), timezone.now()
    DocumentFactory.create(index=index, entity_id="early")
    Document.objects.update(updated_at=long_ago)
    is_written, may_commit = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            DocumentFactory.create(index=index, entity_id="slow")
            is_written.set()
            may_commit.wait(30)
        connection.close()

    thread = threading.Thread(target=write_slowly)
    thread.start()
    is_written.wait(30)
    page = client.get("/api/documents/", {"updated_since": long_ago.isoformat()}).json()
    may_commit.set()
    thread.join()
    assert [row["entity_id"] for row in page["results"]] == ["early"]
    slow = Document.objects.get(entity_id="slow")
    assert page["updated_until"] < slow.updated_at.isoformat()
    assert slow.updated_at > now
