"""Thumbs and comments for answers: once for each user, changeable, one's own conversations only."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from chat.models import ApiKey, Conversation, Feedback, Message
from chat.visitors import COOKIE, remember
from events.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def answer(settings: Any) -> Message:
    """An answer in a conversation of user_123, in development on loopback."""
    settings.DEBUG = True
    return make_answer("user_123")


def make_answer(user_id: str, role: str = Message.Role.ASSISTANT) -> Message:
    conversation = Conversation.objects.create(user_id=user_id)
    Message.objects.create(conversation=conversation, user_id=user_id, role=Message.Role.USER, text="How?")
    return Message.objects.create(conversation=conversation, user_id=user_id, role=role, text="So.")


def put(client: Client, message_id: Any, body: Any, user_id: str | None = "user_123", **more: Any) -> Any:
    query = f"?user_id={user_id}" if user_id else ""
    url = f"/api/messages/{message_id}/feedback/{query}"
    return client.put(url, body, content_type="application/json", **more)


def events() -> list[dict[str, Any]]:
    return list(Event.objects.filter(event_type="feedback_given").order_by("pk").values_list("payload", flat=True))


def test_feedback_is_kept_changed_and_removed(client: Client, answer: Message) -> None:
    first = put(client, answer.pk, {"value": "up"})
    assert (first.status_code, first.json()) == (200, {"message_id": answer.pk, "value": "up", "comment": ""})
    changed = put(client, answer.pk, {"value": "down", "comment": "It is the old price."})
    assert changed.json() == {"message_id": answer.pk, "value": "down", "comment": "It is the old price."}
    row = Feedback.objects.get()
    assert (row.value, row.comment, row.user_id) == ("down", "It is the old price.", "user_123")
    assert row.updated_at > row.created_at
    removed = put(client, answer.pk, {"value": None})
    assert removed.json() == {"message_id": answer.pk, "value": None, "comment": ""}
    assert not Feedback.objects.exists()


def test_each_change_is_one_event_and_a_repetition_none(client: Client, answer: Message) -> None:
    for body in ({"value": None}, {"value": "down"}, {"value": "down"}, {"value": "down", "comment": "!"}):
        assert put(client, answer.pk, body).status_code == 200
    assert put(client, answer.pk, {"value": None}).status_code == 200
    assert [(each["value"], each["comment"]) for each in events()] == [("down", ""), ("down", "!"), (None, "")]
    assert {each["message_id"] for each in events()} == {answer.pk}
    assert set(Event.objects.filter(event_type="feedback_given").values_list("entity_id", flat=True)) == {"user_123"}


def test_a_persons_answer_is_judged_too(client: Client, answer: Message) -> None:
    assert put(client, make_answer("user_123", Message.Role.AGENT).pk, {"value": "up"}).status_code == 200


@pytest.mark.parametrize("role", [Message.Role.USER, Message.Role.NOTICE])
def test_what_is_no_answer_is_not_found(client: Client, answer: Message, role: str) -> None:
    response = put(client, make_answer("user_123", role).pk, {"value": "up"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_another_users_answer_is_not_found(client: Client, answer: Message) -> None:
    assert put(client, answer.pk, {"value": "up"}, user_id="user_456").status_code == 404
    assert put(client, 10**30, {"value": "up"}).status_code == 404
    assert not Feedback.objects.exists() and not events()


@pytest.mark.parametrize(
    "body",
    [
        {}, {"value": "sideways"}, {"value": ""}, {"value": 1}, {"value": ["up"]}, {"value": "up", "comment": None},
        {"value": "up", "comment": 3}, {"value": "up", "comment": "a\x00b"}, {"value": "up", "comment": "x" * 2001},
        {"value": "up", "comment": "\ud800"},
    ],
)  # fmt: skip
def test_bad_input_is_refused(client: Client, answer: Message, body: Any) -> None:
    response = put(client, answer.pk, body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_input")
    assert not Feedback.objects.exists() and not events()


def test_a_visitor_judges_their_own_answers_and_no_others(client: Client, settings: Any) -> None:
    settings.FABRA_CHAT_PUBLIC, settings.DEBUG = True, False
    own, other = make_answer("visitor:abc"), make_answer("user_123")
    assert put(client, own.pk, {"value": "up"}, user_id=None).status_code == 400
    client.cookies[COOKIE] = _signed("abc")
    assert put(client, own.pk, {"value": "up"}, user_id=None).status_code == 200
    assert put(client, other.pk, {"value": "up"}, user_id=None).status_code == 404
    assert put(client, other.pk, {"value": "up"}).json()["error"]["code"] == "user_forbidden"


def _signed(visitor: str) -> str:
    from django.http import HttpResponse

    response = HttpResponse()
    remember(response, visitor)
    return str(response.cookies[COOKIE].value)


def test_a_key_needs_the_scope_of_the_chat_and_its_users(client: Client, settings: Any) -> None:
    settings.DEBUG = False
    answer = make_answer("user_123")
    scoped, bound = ApiKey.make("a", ["chat"])[1], ApiKey.make("b", ["chat"], users=["user_9"])[1]
    ingest = ApiKey.make("c", ["ingest"])[1]

    def with_key(key: str, user_id: str | None = "user_123") -> Any:
        return put(client, answer.pk, {"value": "up"}, user_id, headers={"X-API-Key": key})

    assert with_key(scoped).status_code == 200
    assert with_key(scoped, None).status_code == 400
    assert with_key(bound).json()["error"]["code"] == "user_forbidden"
    assert with_key(ingest).json()["error"]["code"] == "scope_missing"
    assert put(client, answer.pk, {"value": "up"}).status_code == 401


def test_feedback_goes_with_its_conversation(client: Client, answer: Message) -> None:
    put(client, answer.pk, {"value": "down"})
    answer.conversation.delete()
    assert not Feedback.objects.exists()
    assert put(client, answer.pk, {"value": "down"}).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_two_tabs_at_once_leave_one_row(settings: Any) -> None:
    settings.DEBUG = True
    answer = make_answer("user_123")

    def send(value: str) -> int:
        try:
            return int(put(Client(), answer.pk, {"value": value}).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(send, ["up", "down"] * 4)) == {200}
    last = Feedback.objects.get()
    assert events()[-1]["value"] == last.value
