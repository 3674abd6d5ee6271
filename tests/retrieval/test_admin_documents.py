"""Documents in the admin: what is saved is indexed, what cannot be is said beside its field."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from events.models import Event
from retrieval.indexing.documents import delete_document, index_document
from retrieval.models import Chunk, Document, Index

pytestmark = pytest.mark.django_db

LIST = "admin:retrieval_document_changelist"
ADD = "admin:retrieval_document_add"
CHANGE = "admin:retrieval_document_change"


@pytest.fixture
def index() -> Index:
    return Index.objects.create(name="shelf")


@pytest.fixture
def document(index: Index) -> Document:
    index_document("shelf", "guide", "# Guide\n\nOld text.", {"category": "a"})
    return Document.objects.get()


def form(index: Index, **changes: Any) -> dict[str, Any]:
    return {"index": index.pk, "entity_id": "new", "title": "", "text": "# New\n\nText.", "metadata": "{}", **changes}


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200, "the form comes back"
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def test_a_new_document_becomes_an_event(index: Index, admin_client: Client) -> None:
    response = admin_client.post(reverse(ADD), form(index, metadata='{"category": "Billing"}'))
    assert response.status_code == 302
    assert "it is being indexed" in said(response)
    document = Document.objects.get()
    assert (document.state, document.metadata) == ("pending", {"category": "Billing"})
    event = Event.objects.get()
    assert (event.event_type, event.entity_id, event.source) == ("doc_updated", "new", "signal")
    assert event.payload["content"] == "# New\n\nText."


def test_an_edit_becomes_an_event_and_leaves_the_workers_columns(document: Document, admin_client: Client) -> None:
    url = reverse(CHANGE, args=[document.pk])
    changed = {"title": "Guide", "text": "# Guide\r\n\r\nNew text.", "metadata": '{"a": [1]}'}
    assert admin_client.post(url, changed).status_code == 302
    after = Document.objects.get()
    assert after.text == "# Guide\n\nNew text.", "a browser's line ends are not the document's"
    assert (after.version_id, after.entity_id, after.index_id) == (document.version_id, "guide", document.index_id)
    assert Event.objects.get().payload["metadata"] == {"a": [1]}


def test_index_and_id_are_fixed_once_saved(document: Document, admin_client: Client) -> None:
    other = Index.objects.create(name="other")
    data = form(other, entity_id="renamed", title="Guide")
    assert admin_client.post(reverse(CHANGE, args=[document.pk]), data).status_code == 302
    after = Document.objects.get()
    assert (after.index_id, after.entity_id) == (document.index_id, "guide")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("metadata", "{", "no JSON"),
        ("metadata", "[1]", "must be a JSON object"),
        ("metadata", '"text"', "must be a JSON object"),
        ("metadata", '{"a": NaN}', "metadata cannot be written"),
        ("metadata", '{"a": "\\u0000"}', "NUL"),
        ("metadata", '{"a": "\\ud800"}', "surrogate"),
        ("metadata", '{"a": ' + "9" * 5000 + "}", "too long"),
        ("metadata", '{"a": ' + "[" * 200 + "]" * 200 + "}", "nested too deep"),
        ("metadata", "[" * 100_000, "nested too deep"),
        ("text", "", "required"),
        ("text", " \n\t ", "empty"),
        ("text", "a\x00b", "Null characters"),
        ("title", "t" * 501, "at most 500"),
        ("title", "a\x00b", "Null characters"),
        ("entity_id", "", "required"),
        ("entity_id", "   ", "required"),
        ("entity_id", "i" * 256, "at most 255"),
    ],
)
def test_what_cannot_be_stored_is_said_beside_its_field(
    field: str, value: str, message: str, index: Index, admin_client: Client
) -> None:
    found = errors(admin_client.post(reverse(ADD), form(index, **{field: value})))
    assert message in " ".join(found[field])
    assert not Document.objects.exists()
    assert not Event.objects.exists()


@pytest.mark.parametrize("limit", ["FABRA_DOCUMENT_MAX_BYTES", "FABRA_EVENT_MAX_BYTES"])
def test_too_large_a_text_is_said_beside_it(limit: str, index: Index, admin_client: Client, settings: Any) -> None:
    setattr(settings, limit, 1000)
    found = errors(admin_client.post(reverse(ADD), form(index, text="word " * 300)))
    assert "must have at most 1000 bytes" in found["text"][0]


def test_a_second_document_of_an_id_is_refused(document: Document, admin_client: Client) -> None:
    found = errors(admin_client.post(reverse(ADD), form(document.index, entity_id="guide")))
    assert "already exists" in str(found)


def test_a_deleted_documents_id_brings_it_back(document: Document, admin_client: Client) -> None:
    delete_document("shelf", "guide")
    assert admin_client.post(reverse(ADD), form(document.index, entity_id="guide")).status_code == 302
    after = Document.objects.get()
    assert (after.pk, after.deleted_at, after.state) == (document.pk, None, "pending")
    assert Event.objects.get().entity_id == "guide"


def test_deleting_removes_the_chunks_and_keeps_the_versions(document: Document, admin_client: Client) -> None:
    url = reverse("admin:retrieval_document_delete", args=[document.pk])
    assert "its versions stay" in admin_client.get(url).content.decode()
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert not Chunk.objects.exists()
    after = Document.objects.get()
    assert (after.state, after.versions.count()) == ("deleted", 1)


def test_deleting_many_goes_the_same_way(document: Document, admin_client: Client) -> None:
    index_document("shelf", "other", "# Other\n\nText.")
    pks = list(Document.objects.values_list("pk", flat=True))
    data = {"action": "delete_selected", "_selected_action": pks, "post": "yes"}
    assert admin_client.post(reverse(LIST), data).status_code == 302
    assert not Chunk.objects.exists()
    assert Document.objects.filter(state="deleted").count() == 2
    assert Index.objects.get().chunk_count == 0


def test_deleted_documents_are_shown_only_when_asked_for(document: Document, admin_client: Client) -> None:
    index_document("shelf", "other", "# Other\n\nText.")
    delete_document("shelf", "guide")

    def shown(**query: str) -> set[str]:
        return {row.entity_id for row in admin_client.get(reverse(LIST), query).context["cl"].result_list}

    assert shown() == {"other"}
    assert shown(deleted="yes") == {"guide"}
    assert shown(deleted="all") == {"guide", "other"}


def test_a_deleted_document_cannot_be_edited(document: Document, admin_client: Client) -> None:
    delete_document("shelf", "guide")
    url = reverse(CHANGE, args=[document.pk])
    assert admin_client.get(url).status_code == 200
    assert admin_client.post(url, form(document.index)).status_code == 403


def test_reindex_publishes_each_document_again(document: Document, admin_client: Client) -> None:
    response = admin_client.post(reverse(LIST), {"action": "reindex", "_selected_action": [document.pk]})
    assert "1 being indexed again" in said(response)
    assert Event.objects.get().payload["content"] == "# Guide\n\nOld text."


def test_a_page_shows_state_error_versions_and_chunks(document: Document, admin_client: Client) -> None:
    Document.objects.update(state="failed", error="The embedding model <b>does not</b> answer.")
    page = admin_client.get(reverse(CHANGE, args=[document.pk])).content.decode()
    assert "The embedding model &lt;b&gt;does not&lt;/b&gt; answer." in page
    assert reverse("admin:retrieval_documentversion_change", args=[document.version_id]) in page
    assert reverse("admin:retrieval_chunk_change", args=[Chunk.objects.get().pk]) in page


def naughty(path: Any) -> Iterator[str]:
    yield from json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.usefixtures("embedder")
def test_naughty_strings_are_stored_or_refused(index: Index, admin_client: Client, shared_data: Any) -> None:
    strings = list(naughty(shared_data("naughty_strings") / "blns.json"))
    assert len(strings) > 400
    for number, text in enumerate(strings):
        data = form(index, entity_id=f"n{number}", title=text, text=text, metadata=json.dumps({"note": text}))
        response = admin_client.post(reverse(ADD), data)
        assert response.status_code in (200, 302), text
        if number % 10 == 0:  # as an id it is checked as in the REST API, whose tests try them all
            raw = admin_client.post(reverse(ADD), form(index, entity_id=text, metadata=text))
            assert raw.status_code in (200, 302), text
            assert admin_client.get(reverse(LIST), {"q": text}).status_code == 200, text
    for document in Document.objects.filter(entity_id__startswith="n")[:100]:
        assert document.metadata["note"] in strings
    assert admin_client.get(reverse(LIST), {"all": ""}).status_code == 200


def test_a_new_index_needs_a_known_language(admin_client: Client) -> None:
    url = reverse("admin:retrieval_index_add")
    assert admin_client.post(url, {"name": "a", "language": "klingon"}).status_code == 200
    ranking = {"mode": "hybrid", "fusion": "weighted", "lexical_weight": "0.75"}
    assert admin_client.post(url, {"name": "a", "language": "german", **ranking}).status_code == 302
    assert Index.objects.get().language == "german"


@pytest.mark.django_db
def test_a_new_ranking_counts_at_once(admin_client: Client, put: Any) -> None:
    put("a", "Some text.")
    index = Index.objects.get()
    url, no_rows = (
        reverse("admin:retrieval_index_change", args=[index.pk]),
        {"generations-TOTAL_FORMS": 0, "generations-INITIAL_FORMS": 0},
    )
    assert (
        admin_client.post(url, {"mode": "lexical", "fusion": "rrf", "lexical_weight": "11", **no_rows}).status_code
        == 200
    )
    assert (
        admin_client.post(url, {"mode": "lexical", "fusion": "rrf", "lexical_weight": "2", **no_rows}).status_code
        == 302
    )
    after = Index.objects.get()
    assert (after.mode, after.fusion, after.lexical_weight) == ("lexical", "rrf", 2)
    # What retrievers cached was ranked otherwise.
    assert after.version > index.version
