"""Lists of events and of traces over REST: pages, filters, and what a key may see of them."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from chat.models import ApiKey, AuditEntry
from contexts.models import Trace, TraceBody
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event

pytestmark = pytest.mark.django_db


def key_with(*scopes: str, **bounds: Any) -> dict[str, str]:
    row, key = ApiKey.make("list", list(scopes))
    ApiKey.objects.filter(pk=row.pk).update(**bounds)
    return {"Authorization": f"Bearer {key}"}


def ids(response: Any, name: str = "id") -> list[str]:
    assert response.status_code == 200, response.content
    return [row[name] for row in response.json()["results"]]


def event(event_id: str, event_type: str, entity_id: str, **payload: Any) -> None:
    made = AxiomEvent(event_type=event_type, entity_id=entity_id, payload=payload, id=event_id)
    record_event(made, Event.Source.API)


def trace(user_id: str, *indexes: str, context: str = "support", age: timedelta = timedelta(0)) -> str:
    row = Trace.objects.create(
        context=context, user_id=user_id, query="Why?", max_tokens=10, tokens=5, kept=1, dropped=0, duration_ms=1.0,
        digest="0" * 64, created_at=timezone.now() - age, answer="Secret.",
    )  # fmt: skip
    searches = ", ".join(f'{{"index": "{name}"}}' for name in indexes)
    TraceBody.objects.create(trace=row, text=f'{{"searches": [{searches}]}}')
    return str(row.pk)


class TestEvents:
    @pytest.fixture(autouse=True)
    def events(self) -> None:
        event("a", "poked", "ana", secret="sesame")
        event("b", "poked", "ben")
        event("c", "doc_updated", "pay", content="By card.")
        event("d", "doc_updated", "pay", content="By card.", index="other")
        Event.objects.filter(event_id="a").update(
            state=Event.State.DEAD, received_at=timezone.now() - timedelta(days=9)
        )

    def test_they_come_in_pages_without_what_they_say(self, client: Client) -> None:
        headers = key_with("ingest")
        first = client.get("/api/events/?page_size=3", headers=headers)
        assert ids(first) == ["d", "c", "b"] and b"card" not in first.content
        assert ids(client.get(first.json()["next"], headers=headers)) == ["a"]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("event_type=poked", ["b", "a"]),
            ("entity_id=pay", ["d", "c"]),
            ("state=dead", ["a"]),
            ("source=api&event_type=poked&entity_id=ben", ["b"]),
            ("until=2000-01-01T00:00:00Z", []),
            ("since=2000-01-01T00:00:00Z&page_size=4", ["d", "c", "b", "a"]),
        ],
    )
    def test_filters_choose(self, client: Client, query: str, expected: list[str]) -> None:
        assert ids(client.get(f"/api/events/?{query}", headers=key_with("ingest"))) == expected

    def test_a_range_of_time_has_pages_too(self, client: Client) -> None:
        headers, seen = key_with("ingest"), []
        day = (timezone.now() - timedelta(days=1)).isoformat().replace("+", "%2B")
        url = f"/api/events/?since={day}&page_size=2"
        while url:
            page = client.get(url, headers=headers)
            seen += ids(page)
            url = page.json()["next"]
        assert seen == ["d", "c", "b"]

    @pytest.mark.parametrize("query", ["state=lost", "source=x", "since=yesterday", "cursor=x", "event_type=%00"])
    def test_what_cannot_be_read_is_refused(self, client: Client, query: str) -> None:
        assert client.get(f"/api/events/?{query}", headers=key_with("ingest")).status_code == 400

    def test_a_key_sees_what_it_may_read(self, client: Client) -> None:
        assert ids(client.get("/api/events/", headers=key_with("ingest", users=["ben"]))) == ["d", "c", "b"]
        assert ids(client.get("/api/events/", headers=key_with("ingest", indexes=["other"]))) == ["d", "b", "a"]
        assert ids(client.get("/api/events/", headers=key_with("ingest", indexes=["knowledge_base"]))) == [
            "c",
            "b",
            "a",
        ]
        assert client.get("/api/events/", headers=key_with("chat")).status_code == 403

    def test_a_list_is_in_the_audit_log(self, client: Client) -> None:
        client.get("/api/events/?entity_id=ana", headers=key_with("ingest"))
        assert list(AuditEntry.objects.values_list("action", "target")) == [("list events", "events of ana")]


class TestTraces:
    def test_they_come_in_pages_without_their_evidence(self, client: Client) -> None:
        made = [trace("ana", age=timedelta(minutes=age)) for age in range(3)]
        headers = key_with("debug")
        first = client.get("/api/traces/?page_size=2", headers=headers)
        assert ids(first, "context_id") == made[:2] and b"Secret" not in first.content
        assert ids(client.get(first.json()["next"], headers=headers), "context_id") == made[2:]
        assert AuditEntry.objects.filter(action="list traces", target="traces of everyone").count() == 2

    def test_filters_choose(self, client: Client) -> None:
        old, other = trace("ana", age=timedelta(days=2)), trace("ben", context="other")
        day = (timezone.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for query, expected in [
            ("user_id=ana", [old]), ("context=other", [other]), (f"since={day}", [other]), (f"until={day}", [old]),
            ("state=answered", []), ("state=assembled&user_id=ben", [other]),
        ]:  # fmt: skip
            assert ids(client.get(f"/api/traces/?{query}", headers=key_with("debug")), "context_id") == expected, query

    def test_a_key_sees_what_it_may_read(self, client: Client) -> None:
        one, both, nobody = trace("ana", "one"), trace("ben", "one", "two"), trace("")
        bound = key_with("debug", indexes=["one"])
        assert set(ids(client.get("/api/traces/", headers=bound), "context_id")) == {one, nobody}
        bound = key_with("debug", users=["ben"])
        assert set(ids(client.get("/api/traces/", headers=bound), "context_id")) == {both, nobody}
        assert client.get("/api/traces/?user_id=ana", headers=bound).status_code == 403
        assert client.get("/api/traces/", headers=key_with("ingest")).status_code == 403
