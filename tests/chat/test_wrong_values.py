"""Values that no row can have are the caller's fault: a 4xx that says what is wrong, and nothing is stored."""

import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from events.models import Event
from retrieval.models import Document, Index

pytestmark = pytest.mark.django_db

LONG = "x" * 300
HUGE = "9" * 40
DEEP = '{"a":' * 900 + "1" + "}" * 900


@pytest.fixture(autouse=True)
def open_to_all(settings: Any) -> None:
    settings.DEBUG = True


@pytest.fixture
def quiet(client: Client) -> Client:
    """A client that gets a 500 as an answer, where the test's own would raise."""
    client.raise_request_exception = False
    return client


def post(client: Client, path: str, body: dict[str, Any] | str) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post(path, text, content_type="application/json")


DOCUMENT = {"index_name": "docs", "entity_id": "a", "text": "Text."}
EVENT = {"event_type": "doc_updated", "entity_id": "a", "payload": {"content": "Text."}}


@pytest.mark.parametrize(
    "body",
    [
        DOCUMENT | {"index_name": LONG},
        DOCUMENT | {"index_name": "x" * 201},
        DOCUMENT | {"entity_id": LONG},
        DOCUMENT | {"metadata": {"a": "x" * 30_000}},
        DOCUMENT | {"metadata": json.loads(DEEP)},
        DOCUMENT | {"audience": [LONG]},
    ],
)
def test_a_document_that_cannot_be_stored_is_refused_whole(quiet: Client, body: dict[str, Any]) -> None:
    response = post(quiet, "/api/documents/", body)
    assert response.status_code == 400, response.content
    assert response.json()["error"]["message"]
    assert not Document.objects.exists() and not Index.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        EVENT | {"payload": json.loads(DEEP)},
        EVENT | {"payload": {"content": "Text.", "index": "x" * 201}},
        EVENT | {"event_type": LONG},
        EVENT | {"entity_id": "a\x00b"},
        EVENT | {"occurred_at": "99999-01-01T00:00:00Z"},
    ],
)
def test_an_event_that_cannot_be_stored_is_refused_at_the_door(quiet: Client, body: dict[str, Any]) -> None:
    response = post(quiet, "/api/events/", body)
    assert response.status_code == 400, response.content
    assert not Event.objects.exists()


@pytest.mark.parametrize("value", ["a\x00b", HUGE, LONG, "²", "-1", "1e9", "%00", "../x", "\ufeff", "'\";--"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/documents/{}/?index_name=docs", "/api/documents/?index_name={}", "/api/documents/?cursor={}",
        "/api/documents/?page_size={}", "/api/events/{}/", "/api/events/?state={}",
        "/api/search/?index_name={}&query=a",
        "/api/search/?index_name=docs&query={}", "/api/search/?index_name=docs&query=a&top_k={}",
        "/debug/context/{}?query=a", "/api/traces/{}/", "/api/features/{}/a/",
    ],
)  # fmt: skip
def test_an_address_with_a_value_that_nothing_has_is_no_server_error(quiet: Client, path: str, value: str) -> None:
    response = quiet.get(path.format(quote(value, safe="")))
    assert response.status_code < 500, response.content


@pytest.mark.parametrize("position", ["abc", "1e400", "", "'", "\x00", HUGE])
def test_a_cursor_that_no_list_gave_is_told(quiet: Client, position: str) -> None:
    cursor = quote(b64encode(f"p={quote(position)}".encode()).decode())
    response = quiet.get(f"/api/documents/?cursor={cursor}")
    assert response.status_code < 500, response.content


def test_more_parameters_than_django_reads_are_told(quiet: Client) -> None:
    query = "&".join(f"p{number}=1" for number in range(1001))
    response = quiet.get(f"/api/documents/?{query}")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


MODELS = sorted(model._meta.label_lower.replace(".", "_") for model in admin.site._registry)


@pytest.mark.parametrize("model", MODELS)
def test_an_admin_page_of_an_odd_id_is_no_server_error(admin_client: Client, model: str) -> None:
    admin_client.raise_request_exception = False
    for value in ("a\x00b", HUGE, LONG, "²", "-1", "_5F_", "%25", "é", "' or 1=1"):
        for page in ("change", "delete", "history"):
            response = admin_client.get(reverse(f"admin:{model}_{page}", args=[value]))
            assert response.status_code < 500, (page, value)
