"""Events index and delete documents by themselves, where no feature handles them."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.test import Client

from common.errors import InvalidInput
from common.redis import plain_redis
from events.bus import GROUP, RedisEventBus, store_entries, stream_key
from events.event import AxiomEvent
from events.models import Event, WebhookSource
from events.outbox import record_event
from events.processing import process
from events.webhooks import sign
from features.declaration import entity, feature
from retrieval.models import Document
from retrieval.search.execute import search_sync

pytestmark = pytest.mark.django_db


def happened(event_type: str, entity_id: str, **payload: Any) -> Event:
    row, _ = record_event(AxiomEvent(event_type=event_type, entity_id=entity_id, payload=payload), Event.Source.API)
    process(row.pk)
    row.refresh_from_db()
    return row


def test_doc_updated_indexes_into_the_default_or_the_named_index() -> None:
    assert happened("doc_updated", "a", content="Penguins.", metadata={"k": 1}).state == "done"
    assert happened("doc_updated", "a", content="Gulls.", index="birds").state == "done"
    assert search_sync("knowledge_base", "birds").hits[0].content == "Penguins."
    assert search_sync("birds", "birds").hits[0].content == "Gulls."


def test_an_event_that_says_nothing_of_metadata_takes_none_away() -> None:
    happened("doc_updated", "a", content="Penguins.", metadata={"k": 1})
    happened("doc_updated", "a", content="Gulls.")
    assert Document.objects.get().metadata == {"k": 1}
    happened("doc_updated", "a", content="Gulls.", metadata={})
    assert Document.objects.get().metadata == {}


def test_doc_deleted_deletes_and_a_document_that_is_not_there_is_no_error() -> None:
    happened("doc_updated", "a", content="Penguins.")
    assert happened("doc_deleted", "a").outcomes.get().detail == {"deleted": 1}
    assert search_sync("knowledge_base", "birds").hits == []
    assert happened("doc_deleted", "a").state == "done"


def test_an_event_without_text_is_dead_at_once_and_the_document_stays() -> None:
    happened("doc_updated", "a", content="Penguins.")
    row = happened("doc_updated", "a", text="wrong name")
    assert (row.state, row.attempts) == ("dead", 1)
    assert "payload" in row.error
    assert search_sync("knowledge_base", "birds").hits[0].content == "Penguins."


BLANK = ["", " \n\t", "\ufeff\u200b", "<p>&nbsp;</p>\n<!-- x -->", None]
HINT = "To withdraw the document send doc_deleted."


@pytest.mark.parametrize("content", BLANK)
def test_an_update_without_text_is_refused_at_every_door(content: str | None, admin_client: Any) -> None:
    happened("doc_updated", "a", content="Penguins.")
    event = AxiomEvent(event_type="doc_updated", entity_id="a", payload={"content": content})
    body = {"event_type": "doc_updated", "entity_id": "a", "payload": {"content": content}}
    answer = admin_client.post("/api/events/", body, content_type="application/json")
    assert answer.status_code == 400 and HINT in answer.json()["error"]["message"]
    batch = {"events": [{**body, "payload": {"content": "Gulls."}}, body]}
    answer = admin_client.post("/api/events/", batch, content_type="application/json")
    assert answer.status_code == 400 and answer.json()["error"]["items"][0]["position"] == 1
    with pytest.raises(InvalidInput, match=HINT):
        async_to_sync(RedisEventBus().publish)(event)
    source = WebhookSource.objects.create(name="cms")
    stamp, raw = str(int(time.time())), json.dumps(body).encode()
    signed = {"X-Fabra-Timestamp": stamp, "X-Fabra-Signature": sign(source.secret, stamp, raw)}
    answer = Client().post("/webhooks/cms/", raw, content_type="application/json", headers=signed)
    assert answer.status_code == 400 and HINT in answer.json()["error"]["message"]
    if content is not None:
        body = {"index_name": "docs", "entity_id": "a", "text": content}
        answer = admin_client.post("/api/documents/", body, content_type="application/json")
        assert answer.status_code == 400 and "to withdraw a document, delete it" in answer.json()["error"]["message"]
    assert Event.objects.count() == 1 and search_sync("knowledge_base", "birds").hits[0].content == "Penguins."


@pytest.mark.parametrize(
    "payload", [{}, {"text": "x"}, {"content": []}, {"content": {}}, {"content": 7}, {"content": False}]
)
def test_a_content_that_is_no_text_is_refused_at_the_door(payload: dict[str, Any], admin_client: Any) -> None:
    body = {"event_type": "doc_updated", "entity_id": "a", "payload": payload}
    answer = admin_client.post("/api/events/", body, content_type="application/json")
    assert answer.status_code == 400 and 'payload["content"]' in answer.json()["error"]["message"]
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    "key", ["audiance", "Audience", "AUDIENCE ", "audiences", "audince", "odience", "audience_", "ａudience", "Index"]
)
def test_a_key_that_misspells_who_may_find_it_is_refused_at_the_door(key: str, admin_client: Any) -> None:
    payload = {"content": "Penguins.", key: ["staff"]}
    body = {"event_type": "doc_updated", "entity_id": "a", "payload": payload}
    answer = admin_client.post("/api/events/", body, content_type="application/json")
    assert answer.status_code == 400 and repr(key) in answer.json()["error"]["message"]
    with pytest.raises(InvalidInput, match="is not read"):
        async_to_sync(RedisEventBus().publish)(AxiomEvent(event_type="doc_updated", entity_id="a", payload=payload))
    body["payload"] = {**payload, "audience": ["staff"], "index": "knowledge_base"}
    assert admin_client.post("/api/events/", body, content_type="application/json").status_code == 202


@pytest.mark.parametrize(
    "key", ["ambience", "science", "evidence", "audience_id", "audio", "indexed", "text", "é" * 99]
)
def test_other_keys_of_an_update_are_free(key: str, admin_client: Any) -> None:
    body = {"event_type": "doc_updated", "entity_id": "a", "payload": {"content": "Penguins.", key: "x"}}
    assert admin_client.post("/api/events/", body, content_type="application/json").status_code == 202


def test_an_update_that_names_its_index_as_documents_do_is_not_of_the_default_one(admin_client: Any) -> None:
    payload = {"content": "Penguins.", "index_name": "internal"}
    body = {"event_type": "doc_updated", "entity_id": "a", "payload": payload}
    answer = admin_client.post("/api/events/", body, content_type="application/json")
    assert answer.status_code == 400 and 'Call the index of the document "index"' in answer.json()["error"]["message"]


def test_where_a_feature_takes_the_place_it_knows_what_it_needs(admin_client: Any) -> None:
    @entity()
    class Page:
        page_id: str

    @feature(entity=Page, trigger="doc_updated")
    def fetched(page_id: str) -> int:
        return 1

    body = {"event_type": "doc_updated", "entity_id": "a", "payload": {"id": 7}}
    assert admin_client.post("/api/events/", body, content_type="application/json").status_code == 202
    body["payload"] = {"content": ""}
    assert admin_client.post("/api/events/", body, content_type="application/json").status_code == 400


def test_a_stream_entry_without_text_is_a_dead_letter_that_says_why() -> None:
    fields = {"event_type": "doc_updated", "entity_id": "a", "payload": '{"content": ""}'}
    client = plain_redis()
    entry = client.xadd(stream_key(), fields)
    with suppress(redis.ResponseError):
        client.xgroup_create(stream_key(), GROUP, id="0")
    store_entries(client, [(entry, fields)])
    row = Event.objects.get()
    assert row.state == "dead" and HINT in row.error


def test_a_saved_row_without_text_is_refused() -> None:
    happened("doc_updated", "a", content="Penguins.")
    document = Document.objects.get()
    document.text = ""
    with pytest.raises(InvalidInput, match=HINT):
        document.save()
    Document.objects.get(text="Penguins.")
