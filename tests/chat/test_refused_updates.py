"""A `doc_updated` that could not be indexed is refused at the door, whichever door it comes to."""

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from common.errors import InvalidInput
from events.bus import RedisEventBus
from events.event import AxiomEvent
from events.models import Event

pytestmark = pytest.mark.django_db

REFUSED = {
    "nothing but a picture": ({"content": "![](data:image/png;base64," + "QUJD" * 90 + ")"}, "embedded pictures"),
    "too much metadata": ({"content": "Text.", "metadata": {"k": "x" * 30_000}}, "metadata must have at most"),
    "metadata that are no object": ({"content": "Text.", "metadata": ["a"]}, "metadata must be an object"),
    "an audience that is no list": ({"content": "Text.", "audience": "staff"}, "audience must be a list"),
    "an audience without a name": ({"content": "Text.", "audience": [""]}, "1 to 150 characters"),
    "everyone by name": ({"content": "Text.", "audience": "*"}, "for everyone when its audience is empty"),
    "a title that is no text": ({"content": "Text.", "title": "a\ud800"}, "lone surrogate"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_update_that_could_only_die_is_refused(name: str, client: Client, settings: Any) -> None:
    settings.DEBUG = True
    payload, reason = REFUSED[name]
    body = json.dumps({"event_type": "doc_updated", "entity_id": "a", "payload": payload})
    answer = client.post("/api/events/", body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input"), answer.content
    batch = client.post("/api/events/", f'{{"events": [{body}]}}', content_type="application/json")
    assert batch.status_code == 400
    event = AxiomEvent(event_type="doc_updated", entity_id="a", payload=payload)
    with pytest.raises(InvalidInput, match=reason):
        async_to_sync(RedisEventBus().publish)(event)
    assert not Event.objects.exists()


def test_what_is_left_out_is_no_error(client: Client, settings: Any) -> None:
    settings.DEBUG = True
    payload = {"content": "Text.", "metadata": None, "audience": None, "title": None}
    for content in (payload, {"content": "Text."}):
        body = json.dumps({"event_type": "doc_updated", "entity_id": "a", "payload": content})
        assert client.post("/api/events/", body, content_type="application/json").status_code == 202
