"""`X-Fabra-Freshness` tells whether the context of an answer kept its limit."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from chat.freshness_headers import freshness_headers
from contexts.declaration import context
from contexts.items import ContextItem
from contexts.models import Trace
from contexts.store import FeatureStore
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from features.declaration import feature
from retrieval.models import Document

pytestmark = pytest.mark.django_db
store = FeatureStore()
HEADER = "X-Fabra-Freshness"


def declare(use_context: Any, **arguments: Any) -> None:
    """Have /chat use a context with a limit of an hour, which reads an old mood and a document that is behind."""

    @feature(entity="User", ttl="1d", default_value="calm")
    def mood(user_id: str) -> str:
        return "calm"

    @context(store, name="limited", freshness_sla="1h", **arguments)
    async def limited(user_id: str, query: str) -> list[ContextItem]:
        mood = await store.get_feature("mood", user_id)
        hits = await store.search("knowledge_base", query)
        return [ContextItem(mood), *(ContextItem(hit.content, 1, False, f"chunk:{hit.chunk_id}") for hit in hits)]

    use_context(limited)


def fall_behind() -> None:
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    async_to_sync(store.set_feature)("mood", "user_123", "cross", two_hours_ago)
    Document.objects.update(occurred_at=two_hours_ago - timedelta(hours=1))
    payload = {"content": "# Billing\n\nWeekly."}
    event = AxiomEvent(event_type="doc_updated", entity_id="billing", payload=payload, occurred_at=two_hours_ago)
    record_event(event, Event.Source.API)


def test_a_chat_without_a_limit_has_no_header(bot: None, ask: Any) -> None:
    assert HEADER not in ask().headers


def test_an_answer_tells_what_was_behind(bot: None, ask: Any, use_context: Any, client: Client) -> None:
    declare(use_context)
    assert ask(user_id="user_456").headers[HEADER] == "ok"
    fall_behind()
    expected = "violated; features=mood; documents=billing"
    response = ask()
    assert (response.status_code, response.headers[HEADER]) == (200, expected)
    assert {"freshness_violation:mood", "freshness_violation:document:billing"} <= set(response.json()["flags"])
    assert ask(stream=True).headers[HEADER] == expected
    debug = client.get("/debug/context/user_123", {"query": "Billing?"})
    assert debug.headers[HEADER] == expected
    assert {violation["name"] for violation in json.loads(debug.content)["freshness"]["violations"]} == {
        "mood",
        "billing",
    }


def test_strict_is_a_503_with_the_header(bot: None, ask: Any, use_context: Any, client: Client) -> None:
    declare(use_context, freshness_strict=True)
    assert ask(user_id="user_456").status_code == 200
    fall_behind()
    for response in (ask(), ask(stream=True), client.get("/debug/context/user_123", {"query": "Billing?"})):
        assert (response.status_code, response.json()["error"]["code"]) == (503, "freshness_violation")
        assert response.headers[HEADER] == "violated; features=mood; documents=billing"


def test_the_trace_page_draws_the_violations(bot: None, ask: Any, use_context: Any, admin_client: Client) -> None:
    declare(use_context)
    fall_behind()
    trace = Trace.objects.get(pk=ask().json()["context_id"])
    page = admin_client.get(f"/admin/contexts/trace/{trace.pk}/change/").content.decode()
    assert "nothing may be more than 1 h behind" in page
    assert "its event waits" in page


def test_names_cannot_break_the_header() -> None:
    names = ["a\r\nSet-Cookie: x=1", "müsli", "x" * 5000, *(f"n{number}" for number in range(100))]
    report = {"violations": [{"kind": "document", "name": name} for name in names]}
    header = freshness_headers(report)[HEADER]
    assert header.isascii()
    assert "\r" not in header
    assert len(header) < 3000
    assert unquote(header.split("=")[1].split(",")[1]) == "müsli"
