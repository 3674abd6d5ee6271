"""What a person left unanswered is the bot's again: whoever asked, whatever they wrote, and however the person left."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from chat.handover import actions, unanswered
from chat.models import Conversation, HandoverSettings, Message
from tests.chat.sites import Site, make_site
from tests.chat.test_embedding import begun, next_of
from tests.chat.test_handover import agent_named
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def kim(transactional_db: Any) -> User:
    return agent_named("kim", first_name="Kim")


def hand_back(conversation: Conversation, agent: User) -> None:
    actions.hand_back(conversation.pk, agent)


def come_too_late(conversation: Conversation, agent: User) -> None:
    HandoverSettings.objects.update_or_create(pk=1, defaults={"unanswered_after_min": 5})
    Conversation.objects.filter(pk=conversation.pk).update(unanswered_since=timezone.now() - timedelta(minutes=6))
    unanswered.take_back()


def lose_the_permission(conversation: Conversation, agent: User) -> None:
    agent.user_permissions.clear()
    unanswered.take_back()


LEAVING = [hand_back, come_too_late, lose_the_permission]


def signed(site: Site, client: Client) -> Callable[[str], None]:
    """Return a function by which a signed user says something, over REST."""
    known: dict[str, int] = {}
    headers: Any = site.headers(site.token("user_123"))

    def say(message: str) -> None:
        body = {"user_id": "user_123", "message": message} | known
        response = client.post("/chat", body, content_type="application/json", headers=headers)
        assert response.status_code in (200, 202), response.content
        known["conversation_id"] = response.json()["conversation_id"]

    return say


def visiting(site: Site, client: Client) -> Callable[[str], None]:
    """Return a function by which a visitor of the site says something, in the widget."""
    session = site.session(client)["session"]
    known: dict[str, int] = {}

    async def send(message: str) -> dict[str, Any]:
        socket, _ = await begun(session)
        await socket.send({"message": message} | known)
        said = await next_of(socket, "done", "error")
        await socket.disconnect()
        return said

    def say(message: str) -> None:
        said = async_to_sync(send)(message)
        assert said["type"] == "done", said
        known["conversation_id"] = said["conversation_id"]

    return say


@pytest.mark.parametrize("leave", LEAVING)
@pytest.mark.parametrize("asking", [signed, visiting])
def test_a_customer_of_a_site_is_answered_after_the_person(
    asking: Callable[[Site, Client], Callable[[str], None]],
    leave: Callable[[Conversation, User], None],
    small: ModelServer,
    client: Client,
    kim: User,
    settings: Any,
) -> None:
    settings.DEBUG = False
    say = asking(make_site(), client)
    say("One?")
    conversation = Conversation.objects.get()
    actions.assign(conversation.pk, kim)
    say("Where is my invoice?")
    leave(conversation, kim)
    assert async_to_sync(unanswered.answer_last)(conversation.pk)
    answer = Message.objects.latest("pk")
    assert (answer.role, answer.text) == ("assistant", small.text)
    assert "Where is my invoice?" in json.dumps(small.requests[-1])
    conversation.refresh_from_db()
    assert conversation.unanswered_since is None
