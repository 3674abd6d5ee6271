"""Whatever comes in gets an answer or a clear 4xx, never a 5xx, and nothing is stored half."""

import json
from typing import Any

import pytest
from django.test import Client

from chat.models import Message
from events.models import Event
from retrieval.models import Document

pytestmark = pytest.mark.django_db


def error_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", (400, "invalid_message")),
        (" \n\t ", (400, "invalid_message")),
        ("x" * 1_000_000, (413, "message_too_long")),
        (5, (400, "invalid_input")),
        (None, (400, "invalid_input")),
        (["a"], (400, "invalid_input")),
        ("a\x00b", (400, "invalid_input")),
        ("a\ud800b", (400, "invalid_input")),
    ],
)
def test_a_bad_message_is_told(bot: None, ask: Any, message: Any, expected: tuple[int, str]) -> None:
    assert error_of(ask(message)) == expected
    assert not Message.objects.exists()


@pytest.mark.parametrize("user_id", ["", " ", "a\x00", "\udfff", "x" * 256, 7, {}, None])
def test_a_bad_user_id_is_told(bot: None, ask: Any, user_id: Any) -> None:
    assert error_of(ask(user_id=user_id)) == (400, "invalid_input")


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"", "application/json", (400, "invalid_input")),
        (b"{", "application/json", (400, "invalid_json")),
        (b"[]", "application/json", (400, "invalid_json")),
        (b'"a"', "application/json", (400, "invalid_json")),
        (b"\xff\xfe", "application/json", (400, "invalid_json")),
        (b'{"a": NaN}', "application/json", (400, "invalid_json")),
        (b'{"entity_id": "a", "audience": ["vip"], "audience": []}', "application/json", (400, "invalid_json")),
        (b'{"metadata": [{"a\\ud800": 1, "a\\ud800": 1}]}', "application/json", (400, "invalid_json")),
        (b"[" * 100_000, "application/json", (400, "invalid_json")),
        (b'{"a":' * 100_000, "application/json", (400, "invalid_json")),
        (b'{"user_id": "u"}', "application/json", (400, "invalid_input")),
        (b'{"user_id": "u", "message": "hi"}', "text/plain", (415, "unsupported_media_type")),
        (b"user_id=u&message=hi", "application/x-www-form-urlencoded", (415, "unsupported_media_type")),
        (b'{"a": "' + b"x" * 3_000_000 + b'"}', "application/json", (413, "request_too_large")),
    ],
)
def test_a_bad_body_is_told(bot: None, client: Client, body: bytes, kind: str, expected: tuple[int, str]) -> None:
    for address in ("/chat", "/api/events/", "/api/documents/"):
        assert error_of(client.post(address, body, content_type=kind)) == expected, address
    assert not Message.objects.exists()
    assert not Event.objects.exists()


def test_wrong_methods_and_addresses_are_told(bot: None, client: Client, settings: Any) -> None:
    assert error_of(client.get("/chat")) == (405, "method_not_allowed")
    settings.DEBUG = False
    settings.SECURE_SSL_REDIRECT = False
    assert error_of(client.get("/nothing")) == (404, "not_found")


def naughty(shared_data: Any) -> list[str]:
    return json.loads((shared_data("naughty_strings") / "blns.json").read_text())


@pytest.fixture
def no_limit(settings: Any) -> None:
    settings.FABRA_RATE_LIMITS = {}
    settings.FABRA_RATE_LIMIT_DEFAULT = 100_000


@pytest.mark.usefixtures("embedder")
def test_naughty_strings_as_message_and_user(bot: None, ask: Any, shared_data: Any, no_limit: None) -> None:
    for text in naughty(shared_data):
        for fields in ({"user_id": text, "message": text}, {"message": text}):  # where it is refused as a user's id
            response = ask(**fields)
            assert response.status_code == 200 or 400 <= response.status_code < 500, (fields, response.content)
            if response.status_code == 200:
                assert Message.objects.filter(role="user").latest("id").text == text
                break


@pytest.mark.usefixtures("embedder")
def test_naughty_strings_as_documents_events_and_queries(bot: None, client: Client, shared_data: Any) -> None:
    for text in naughty(shared_data):
        odd = {"text": text, "title": text, "metadata": {"k": text, text: "v"}}
        # If all at once are refused, each by itself.
        for fields in (odd | {"entity_id": text}, odd, {"entity_id": text}):
            body = {"index_name": "docs", "entity_id": "a", "text": "Some text.", **fields}
            response = client.post("/api/documents/", body, content_type="application/json")
            assert response.status_code in (200, 201) or 400 <= response.status_code < 500, (fields, response.content)
            if response.status_code < 400 and fields != odd:
                break
        event = {"event_type": "x", "entity_id": text, "payload": {"k": text, text: 1}}
        response = client.post("/api/events/", event, content_type="application/json")
        assert response.status_code in (200, 202) or 400 <= response.status_code < 500, (text, response.content)
        response = client.get("/api/search/", {"index_name": "knowledge_base", "query": text, "top_k": 1})
        assert response.status_code == 200 or 400 <= response.status_code < 500, (text, response.content)
    assert Document.objects.filter(index__name="docs").exists()


@pytest.mark.usefixtures("embedder")
def test_every_json_file_gets_a_2xx_or_a_4xx(bot: None, client: Client, shared_data: Any, no_limit: None) -> None:
    files = sorted(shared_data("json_test_suite").rglob("*.json"))
    assert len(files) > 300
    for file in files:
        for address in ("/chat", "/api/events/"):
            raw = file.read_bytes()
            wrapped = (
                b'{"user_id": "u", "message": "hi", "event_type": "x", "entity_id": "e", "payload": {"v": %s}}' % raw
            )
            for body in (raw, wrapped):
                response = client.post(address, body, content_type="application/json")
                assert response.status_code < 300 or 400 <= response.status_code < 500, (file.name, response.content)
