"""Rows of several tables go into PostgreSQL in one statement, as their models say, all or none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from chat.models import ApiKey, Conversation, Message
from common.sql.rows import FromNow, WithIds, write_together
from events.models import Event

pytestmark = pytest.mark.django_db


def _event(event_id: str, **fields: Any) -> Event:
    return Event(event_id=event_id, event_type="poked", entity_id="b1", occurred_at=datetime.now(UTC), **fields)


def test_each_row_is_as_its_model_would_have_saved_it() -> None:
    payload = {"text": "100 % naïve, 'quoted' and \\escaped", "list": [1, None]}
    key = ApiKey(name="k", start="fabra_12345", digest="d" * 64, scopes=["chat", "debug"])
    write_together(_event("e1", payload=payload), key)
    event, stored = Event.objects.get(), ApiKey.objects.get()
    assert (event.payload, event.state, event.finished_at) == (payload, Event.State.RECEIVED, None)
    assert (stored.scopes, stored.revoked_at) == (["chat", "debug"], None)
    assert stored.created_at is not None


def test_new_rows_of_a_call_name_each_other_and_get_their_ids() -> None:
    conversation = Conversation(user_id="u")
    message = Message(conversation=conversation, user_id="u", role="user", text="Hi")
    key = ApiKey(pk=7000, name="k", start="fabra_12345", digest="d" * 64, scopes=[])
    write_together(key, conversation, message, ("UPDATE chat_apikey SET name = %s", ["not seen by the update"]))
    stored = Message.objects.select_related("conversation").get()
    assert (stored.pk, stored.conversation.pk, stored.conversation.user_id) == (message.pk, conversation.pk, "u")
    assert ApiKey.objects.get().name == "k"
    assert Conversation.objects.create(user_id="u").pk > conversation.pk


def test_an_object_gets_the_ids_of_rows_that_are_written_with_it() -> None:
    known, conversation = Conversation.objects.create(user_id="u"), Conversation(user_id="u")
    event = _event("e1")
    event.payload = WithIds({"text": "100 %", "new": None}, new=conversation, known=known)
    write_together(conversation, event)
    assert Event.objects.get().payload == {"text": "100 %", "new": conversation.pk, "known": known.pk}


def test_one_row_that_is_refused_takes_the_others_with_it() -> None:
    Event.objects.bulk_create([_event("e1")])
    with pytest.raises(IntegrityError), transaction.atomic():
        write_together(Conversation(user_id="u"), _event("e1"))
    assert not Conversation.objects.exists()


def test_a_time_from_now_is_by_the_clock_of_postgresql() -> None:
    conversation = Conversation(user_id="ana")
    conversation.lease_until = FromNow(timedelta(minutes=3))  # type: ignore[assignment]
    assert write_together(conversation)
    with connection.cursor() as cursor:
        cursor.execute("SELECT lease_until - clock_timestamp() FROM chat_conversation WHERE id = %s", [conversation.pk])
        left = cursor.fetchone()[0]
    assert timedelta(minutes=2) < left <= timedelta(minutes=3)
