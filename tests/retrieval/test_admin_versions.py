"""Versions in the admin: who wrote them, what they changed, and the way back."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from chat.models import ApiKey
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from events.processing import process
from retrieval.indexing.documents import delete_document, index_document
from retrieval.models import Document, DocumentVersion
from retrieval.search.execute import search_sync

pytestmark = pytest.mark.django_db


@pytest.fixture
def versions() -> list[DocumentVersion]:
    index_document("shelf", "guide", "# Guide\n\nOld <b>text</b>.", {"category": "a"})
    index_document("shelf", "guide", "# Guide\n\nNew <b>text</b>.", {"category": "b", "tags": ["x"]})
    return list(DocumentVersion.objects.order_by("number"))


def url(name: str, version: DocumentVersion) -> str:
    return reverse(f"admin:retrieval_documentversion_{name}", args=[version.pk])


def process_all() -> None:
    for event in Event.objects.due():
        process(event.pk)


def found(query: str = "text") -> list[str]:
    return [hit.content for hit in search_sync("shelf", query).hits]


def test_two_versions_are_compared(versions: list[DocumentVersion], admin_client: Client) -> None:
    page = admin_client.get(url("compare", versions[1])).content.decode()
    assert '<del class="fb-word">Old</del> &lt;b&gt;text&lt;/b&gt;.' in page
    assert '<ins class="fb-word">New</ins> &lt;b&gt;text&lt;/b&gt;.' in page
    for value in ("metadata.category", '<del class="fb-word">a</del>', '<ins class="fb-word">b</ins>', "metadata.tags"):
        assert value in page
    other_way = admin_client.get(url("compare", versions[0]), {"with": versions[1].pk}).context
    assert (other_way["before"], other_way["after"]) == (versions[0], versions[1])


@pytest.mark.parametrize("other", ["", "x", "0", "9" * 30, "٣"])
def test_a_version_that_is_not_there_is_no_error(
    other: str, versions: list[DocumentVersion], admin_client: Client
) -> None:
    assert admin_client.get(url("compare", versions[1]), {"with": other}).status_code == 200


def test_rolling_back_makes_a_new_version_that_is_found(versions: list[DocumentVersion], admin_client: Client) -> None:
    response = admin_client.post(url("roll_back", versions[0]))
    assert response.status_code == 302
    assert "Rolled back to v1" in str(*get_messages(response.wsgi_request))
    assert found() == ["# Guide\n\nNew <b>text</b>."], "until the event is processed"
    process_all()
    assert found() == ["# Guide\n\nOld <b>text</b>."]
    newest = DocumentVersion.objects.latest("number")
    assert (newest.number, newest.author, newest.metadata) == (3, "admin", {"category": "a"})
    assert newest.content_hash == versions[0].content_hash


def test_a_deleted_document_comes_back(versions: list[DocumentVersion], admin_client: Client) -> None:
    delete_document("shelf", "guide")
    admin_client.post(url("roll_back", versions[1]))
    process_all()
    assert found() == ["# Guide\n\nNew <b>text</b>."]


def test_rolling_back_wants_a_post_and_the_permission(versions: list[DocumentVersion], client: Client) -> None:
    reader = User.objects.create_user("reader", password="x", is_staff=True)
    reader.user_permissions.set(Permission.objects.filter(codename="view_documentversion"))
    client.force_login(reader)
    assert client.get(url("compare", versions[0])).status_code == 200
    assert "Roll back" not in client.get(url("change", versions[0])).content.decode()
    assert client.post(url("roll_back", versions[0])).status_code == 403
    reader.user_permissions.set(Permission.objects.filter(codename="change_document"))
    assert client.get(url("compare", versions[0])).status_code == 403
    assert client.get(url("roll_back", versions[0])).status_code == 405
    assert client.post(url("roll_back", versions[0])).status_code == 302
    client.logout()
    assert client.post(url("roll_back", versions[0])).status_code == 302
    assert Event.objects.count() == 1


def test_a_version_says_who_wrote_it_and_what_it_came_by(admin_client: Client, client: Client) -> None:
    _, key = ApiKey.make("the CMS", [ApiKey.Scope.INGEST])
    headers = {"Authorization": f"Bearer {key}"}
    body: dict[str, Any] = {"index_name": "shelf", "entity_id": "by-api", "text": "Text."}
    assert client.post("/api/documents/", body, "application/json", headers=headers).status_code == 201
    row, _ = record_event(
        AxiomEvent(event_type="doc_updated", entity_id="by-event", payload={"content": "Text.", "index": "shelf"}),
        Event.Source.WEBHOOK, sender="shop",
    )  # fmt: skip
    process(row.pk)
    document = Document.objects.get(entity_id="by-api")
    admin_client.post(
        reverse("admin:retrieval_document_change", args=[document.pk]),
        {"title": "", "text": "Other text.", "metadata": "{}"},
    )
    process_all()
    written = {
        (version.document.entity_id, version.number): (version.author, version.source.split()[0])
        for version in DocumentVersion.objects.select_related("document")
    }
    assert written == {
        ("by-api", 1): ("the CMS", "api"),
        ("by-api", 2): ("admin", "event"),
        ("by-event", 1): ("shop", "event"),
    }
    page = admin_client.get(url("change", DocumentVersion.objects.get(author="shop"))).content.decode()
    assert reverse("admin:events_event_change", args=[row.pk]) in page
