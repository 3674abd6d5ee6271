"""Batches of events: all of them or none, with the position of each that is wrong."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from events.models import Event
from features.declaration import entity, feature
from features.models import KnownEntity
from tests.broker import messages

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def open_api(settings: Any) -> None:
    settings.DEBUG = True  # on loopback no key is needed then


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {"event_type": "poked", "entity_id": f"b{number}", "id": f"e{number}", **fields}


def post(client: Client, body: Any) -> Any:
    return client.post("/api/events/", body, content_type="application/json")


def items_of(response: Any) -> list[tuple[int, str]]:
    return [(item["position"], item["code"]) for item in response.json()["error"]["items"]]


def test_a_batch_is_stored_in_its_order(client: Client, django_capture_on_commit_callbacks: Any) -> None:
    @entity()
    class Bear:
        bear_id: str

    @feature(entity=Bear, trigger="poked")
    def mood(bear_id: str) -> int:
        return 1

    moment = datetime.now(UTC).isoformat()
    with django_capture_on_commit_callbacks(execute=True):
        batch = [event(n, occurred_at=moment) for n in (3, 1, 2)] + [event(4, event_type="doc_seen")]
        response = post(client, {"events": batch})
    assert response.status_code == 202
    assert [event["id"] for event in response.json()["events"]] == ["e3", "e1", "e2", "e4"]
    assert list(Event.objects.order_by("id").values_list("event_id", flat=True)) == ["e3", "e1", "e2", "e4"]
    assert set(KnownEntity.objects.values_list("entity_key", flat=True)) == {"b1", "b2", "b3"}
    assert [message.queue for message in messages()] == ["state", "default", "default", "default"]


def test_the_same_event_twice_is_one(client: Client) -> None:
    assert post(client, event(1)).status_code == 202
    response = post(client, {"events": [event(1), event(2), event(2)]})
    assert [event["is_new"] for event in response.json()["events"]] == [False, True, False]
    assert post(client, {"events": [event(1), event(2)]}).status_code == 200
    assert Event.objects.count() == 2


def test_one_wrong_event_refuses_the_batch_and_says_where(client: Client, settings: Any) -> None:
    settings.FABRA_EVENT_MAX_BYTES = 1000
    post(client, event(1))
    batch = [
        event(0),
        event(1, payload={"another": "body"}),
        {"event_type": "poked"},
        event(3, occurred_at="soon"),
        event(4, payload={"a": "x" * 2000}),
        "no object",
        event(6, entity_id="a\x00"),
        event(0, payload={"another": "body"}),
    ]
    response = post(client, {"events": batch})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "batch_refused"
    assert items_of(response) == [
        (1, "event_conflict"),
        (2, "invalid_input"),
        (3, "invalid_input"),
        (4, "payload_too_large"),
        (5, "invalid_input"),
        (6, "invalid_input"),
        (7, "event_conflict"),
    ]
    assert "entity_id" in response.json()["error"]["items"][1]["message"]
    assert Event.objects.get().event_id == "e1"


def test_where_all_errors_are_of_one_kind_so_is_the_status(client: Client) -> None:
    post(client, event(1))
    assert post(client, {"events": [event(1, entity_id="other"), event(2)]}).status_code == 409


@pytest.mark.parametrize("events", [[], {}, None, "x", 5])
def test_a_batch_that_is_none_is_refused(events: Any, client: Client) -> None:
    response = post(client, {"events": events})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_input")


def test_a_batch_above_the_cap_is_too_large(client: Client, settings: Any) -> None:
    settings.FABRA_EVENT_BATCH = 2
    response = post(client, {"events": [event(n) for n in range(3)]})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "batch_too_large")
    assert "at most 2" in response.json()["error"]["message"]
    assert not Event.objects.exists()
