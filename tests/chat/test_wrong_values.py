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


@pytest.mark.parametrize("depth", [101, 119, 120, 121, 500, 960, 990])
@pytest.mark.parametrize("path", ["/api/documents/", "/api/events/", "/chat"])
def test_json_of_any_depth_is_refused_and_no_fault_of_ours(quiet: Client, path: str, depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    field = "metadata" if path == "/api/documents/" else "payload" if path == "/api/events/" else "message"
    body = json.dumps(DOCUMENT | EVENT | {"user_id": "u"})[:-1] + f', "{field}": {deep}}}'
    response = quiet.post(path, body, content_type="application/json")
    assert response.status_code == 400, response.content


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
    for path in ("/api/documents/?", "/api/documents/?updated_since=2026-01-01T00:00:00Z&"):
        response = quiet.get(f"{path}cursor={cursor}")
        if path.endswith("?") and position == HUGE:  # a number, behind which there is nothing
            assert response.status_code == 200
        else:
            assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_cursor")


def test_more_parameters_than_django_reads_are_told(quiet: Client) -> None:
    query = "&".join(f"p{number}=1" for number in range(1001))
    response = quiet.get(f"/api/documents/?{query}")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/api/search/", "/api/events/", "/admin/login/"])
def test_more_fields_than_django_reads_are_told_in_development_too(quiet: Client, path: str, settings: Any) -> None:
    settings.DEBUG = True
    fields = {f"p{number}": "1" for number in range(1001)}
    assert quiet.get(path, fields).status_code == 400
    assert quiet.post("/admin/login/", fields).status_code == 400


def test_a_post_without_its_last_slash_is_not_found(quiet: Client) -> None:
    response = post(quiet, "/api/documents", DOCUMENT)
    assert response.status_code == 404, response.content


@pytest.mark.parametrize("page_size", ["0", "-1", "a", "1.5", "²", "", "null", "1_0"])
def test_a_page_size_that_is_no_number_is_told(quiet: Client, page_size: str) -> None:
    response = quiet.get("/api/documents/", {"page_size": page_size})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_input")


@pytest.mark.parametrize(
    "query",
    [
        "top_k=5.0", "top_k=+5", "top_k=٥", "top_k=1_0", f"top_k={HUGE}", "top_k=0", "expand=6", "rerank=yes",
        "mode=", "mode=x", "filters=", "filters=[]", "filters=null", "filters=0", 'filters={"a":[]}', "query=%00",
        f"filters={DEEP}", "audience=%00", f"audience={LONG}", "max_per_document=-1", "index_name=%00",
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_is_told(quiet: Client, query: str, embedder: Any) -> None:
    post(quiet, "/api/documents/", DOCUMENT)
    response = quiet.get(f"/api/search/?index_name=docs&query=a&{query}")
    assert response.status_code == 400, response.content
    assert response.json()["error"]["message"]


@pytest.mark.parametrize(
    "more",
    [
        {"stream": "true"}, {"stream": 1}, {"conversation_id": "1"}, {"conversation_id": True},
        {"conversation_id": 1.5}, {"conversation_id": 2**70}, {"user_id": None}, {"user_id": ["a"]},
        {"message": "a\ud800"}, {"message": "\x00"}, {"message": "\u2003"}, {"message": {}},
    ],
)  # fmt: skip
def test_a_chat_that_cannot_be_is_told(quiet: Client, more: dict[str, Any]) -> None:
    response = post(quiet, "/chat", {"user_id": "a", "message": "How?"} | more)
    assert (response.status_code, response.json()["error"]["code"]) in [
        (400, "invalid_input"),
        (400, "invalid_message"),
    ]


MODELS = sorted(model._meta.label_lower.replace(".", "_") for model in admin.site._registry)


@pytest.mark.parametrize("model", MODELS)
def test_an_admin_page_of_an_odd_id_is_no_server_error(admin_client: Client, model: str) -> None:
    admin_client.raise_request_exception = False
    for value in ("a\x00b", HUGE, LONG, "²", "-1", "_5F_", "%25", "é", "' or 1=1"):
        for page in ("change", "delete", "history"):
            response = admin_client.get(reverse(f"admin:{model}_{page}", args=[value]))
            assert response.status_code < 500, (page, value)


LISTS = [
    "q=%00", "q=%ED%A0%80", f"q={'%F0%9F%92%A9' * 300}", f"q={HUGE}", "p=-1", f"p={HUGE}", "p=a", "o=99.-7.x", 
    f"o={HUGE}", "id__exact=%00", f"id__exact={HUGE}", "id__in=a,%00", "created_at__gte=x", "created_at__gte=%00",
    "state__exact=%00", "created_at__range__gte=9999-99-99", "state=%00", "_facets=True", "all=%00", "nothing__like=1",
    f"index={'9' * 5000}", f"id={'9' * 5000}",
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_an_admin_list_with_an_odd_query_is_no_server_error(admin_client: Client, model: str) -> None:
    admin_client.raise_request_exception = False
    address = reverse(f"admin:{model}_changelist")
    wrong = [query for query in LISTS if admin_client.get(f"{address}?{query}").status_code >= 500]
    assert not wrong


@pytest.mark.parametrize("query", ["q=%00", "question=%00", "index=%00", f"index={HUGE}", f"top_k={HUGE}", "filters={"])
def test_the_search_page_with_an_odd_query_is_no_server_error(admin_client: Client, query: str) -> None:
    admin_client.raise_request_exception = False
    assert admin_client.get(f"{reverse('retrieval:search_test')}?{query}").status_code < 500
