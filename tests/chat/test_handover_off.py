"""Where an operator has switched handover off, no message, context or answer promises a person."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from chat.models import Conversation, HandoverSettings, Message, Ticket
from contexts.declaration import context
from contexts.items import ContextItem, Escalation, escalate
from events.models import Event
from retrieval.models import Index
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db(transaction=True)
REACH = "Write to help@example.com."


@pytest.fixture(autouse=True)
def switched_off(transactional_db: None) -> None:
    HandoverSettings.objects.update_or_create(pk=1, defaults={"is_enabled": False, "texts": {"en": REACH}})


@pytest.fixture
def say(client: Client) -> Callable[..., dict[str, Any]]:
    def say(message: str, **more: Any) -> dict[str, Any]:
        body = {"user_id": "ana", "message": message, **more}
        return dict(client.post("/chat", json.dumps(body), content_type="application/json").json())

    return say


def assert_nobody_is_asked(body: dict[str, Any]) -> None:
    assert body["state"] == "bot" == Conversation.objects.get().state
    assert not Event.objects.filter(event_type="conversation_escalated").exists()
    assert not Ticket.objects.filter(conversation__isnull=False).exists()


def test_a_wish_in_words_is_told_how_support_is_reached(say: Any, small: ModelServer) -> None:
    body = say("I want to talk to a human")
    assert body["response"] == f"No person can join this conversation. {REACH}"
    assert body["flags"] == ["no_person"] and small.requests == []
    assert_nobody_is_asked(body)
    again = say("human please", conversation_id=body["conversation_id"])
    assert again["message_id"] > body["message_id"]
    answered = say("How do I pay?", conversation_id=body["conversation_id"])
    assert answered["response"] == small.text


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_context_function_gets_no_person(is_alone: bool, say: Any, small: ModelServer, use_context: Any) -> None:
    @context(name="careful", max_tokens=1000)
    async def careful(user_id: str, query: str) -> list[ContextItem | Escalation] | Escalation:
        wish = escalate("A cancellation is a person's to handle.")
        return wish if is_alone else [ContextItem("Be kind.", required=True), wish]

    use_context(careful)
    body = say("Cancel my contract")
    assert (REACH in body["response"]) is is_alone
    assert "notices" not in body
    assert_nobody_is_asked(body)


def test_not_knowing_twice_offers_what_there_is(say: Any, bot: None) -> None:
    row = Index.objects.select_related("generation").get(name="knowledge_base")
    row.set_threshold(5.0, row.score_basis(), by="test")
    first = say("What is the capital of France?")
    second = say("And of Spain?", conversation_id=first["conversation_id"])
    for body in (first, second):
        assert "not_known" in body["flags"]
        assert body["response"].endswith(REACH) and "person" not in body["response"]
    assert_nobody_is_asked(second)
    assert not Message.objects.filter(role="notice").exists()


def test_without_a_text_nothing_is_offered() -> None:
    HandoverSettings.objects.update(texts={})
    assert HandoverSettings.load().person_offer == ""
    HandoverSettings.objects.update(is_enabled=True)
    assert HandoverSettings.load().person_offer == "You can ask for a person."
