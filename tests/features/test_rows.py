"""Rows of several tables go into PostgreSQL in one statement, as their models say, all or none."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from chat.models import ApiKey, Conversation, Message
from features.models import Event
from features.rows import insert, reserve_ids, run_together

pytestmark = pytest.mark.django_db


def _event(event_id: str, **fields: Any) -> Event:
    return Event(event_id=event_id, event_type="poked", entity_id="b1", occurred_at=datetime.now(UTC), **fields)


def test_each_row_is_as_its_model_would_have_saved_it() -> None:
    payload = {"text": "100 % naïve, 'quoted' and \\escaped", "list": [1, None]}
    key = ApiKey(name="k", start="fabra_12345", digest="d" * 64, scopes=["chat", "debug"])
    run_together(insert(_event("e1", payload=payload)), insert(key))
    event, stored = Event.objects.get(), ApiKey.objects.get()
    assert (event.payload, event.state, event.finished_at) == (payload, Event.State.RECEIVED, None)
    assert (stored.scopes, stored.revoked_at) == (["chat", "debug"], None)
    assert stored.created_at is not None


def test_rows_with_reserved_ids_name_each_other() -> None:
    conversation_id, message_id = reserve_ids(Conversation, Message)
    message = Message(pk=message_id, conversation_id=conversation_id, user_id="u", role="user", text="Hi")
    run_together(insert(message), insert(Conversation(pk=conversation_id, user_id="u")))
    assert Message.objects.get(pk=message_id).conversation.user_id == "u"
    assert Conversation.objects.create(user_id="u").pk > conversation_id


def test_one_row_that_is_refused_takes_the_others_with_it() -> None:
    Event.objects.bulk_create([_event("e1")])
    with pytest.raises(IntegrityError), transaction.atomic():
        run_together(insert(Conversation(user_id="u")), insert(_event("e1")))
    assert not Conversation.objects.exists()
