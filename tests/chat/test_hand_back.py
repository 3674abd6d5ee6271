"""What a person left unanswered is the bot's again: whoever asked, whatever they wrote, and however the person left."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db.models.signals import post_save
from django.test import Client
from django.utils import timezone

from chat.conversations.management import delete_conversation
from chat.engine import unanswered
from chat.errors import ModelError
from chat.handover import actions
from chat.live.groups import INBOX
from chat.live.layer import live_layer
from chat.models import ApiKey, Conversation, HandoverSettings, Message, ModelCall
from contexts.models import Trace
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
    long_ago = timezone.now() - timedelta(minutes=6)
    Conversation.objects.filter(pk=conversation.pk).update(unanswered_since=long_ago, state_changed_at=long_ago)
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


@pytest.fixture
def say(small: ModelServer, client: Client) -> Callable[..., Any]:
    """Return a function by which ana says something, and gets the response's body."""
    known: dict[str, int] = {}

    def say(message: str, *, status: int = 200, **more: Any) -> Any:
        body = {"user_id": "ana", "message": message} | known | more
        response = client.post("/chat", body, content_type="application/json")
        assert response.status_code == status, response.content
        known.update({name: value for name, value in response.json().items() if name == "conversation_id"})
        return response.json()

    return say


@pytest.fixture
def left(say: Any, kim: User) -> Conversation:
    """A conversation in which Kim left two messages to the bot."""
    talk = Conversation.objects.get(pk=say("One?")["conversation_id"])
    actions.assign(talk.pk, kim)
    say("Invoice INV-33 is wrong.", status=202)
    say("Can you fix it?", status=202)
    actions.hand_back(talk.pk, kim)
    return talk


BOTH = "Invoice INV-33 is wrong.\n\nCan you fix it?"


def asked_of(model: ModelServer) -> str:
    return str(model.requests[-1]["messages"][-1]["content"])


def answer_last(talk: Conversation) -> bool:
    return async_to_sync(unanswered.answer_last)(talk.pk)


def lines(talk: Conversation) -> list[tuple[str, str]]:
    return list(talk.messages.order_by("pk").values_list("role", "text"))


def notices(talk: Conversation) -> list[str]:
    return [message.flags[0] for message in talk.messages.filter(role="notice").order_by("pk")]


def test_all_that_was_left_is_asked_together_and_the_trace_shows_it(
    left: Conversation, say: Any, small: ModelServer
) -> None:
    assert answer_last(left)
    assert asked_of(small) == BOTH
    answer = left.messages.latest("pk")
    assert answer.trace is not None and answer.trace.query == BOTH
    assert {message.trace_id for message in left.messages.filter(role="user")[1:]} == {answer.trace_id}
    assert not answer_last(left)
    say("And INV-34?")
    assert [message["content"] for message in small.requests[-1]["messages"]][-3:] == [
        BOTH, small.text.replace(" [1]", ""), "And INV-34?",
    ]  # fmt: skip


@pytest.mark.parametrize(("next_message", "asked"), [("And INV-34?", f"{BOTH}\n\nAnd INV-34?"), ("hello?", BOTH)])
def test_the_next_message_takes_along_what_was_left(
    next_message: str, asked: str, left: Conversation, say: Any, small: ModelServer
) -> None:
    assert say(next_message)["response"] == small.text
    assert asked_of(small) == asked
    assert not answer_last(left)  # the task comes too late
    assert [text for role, text in lines(left) if role == "user"][-1] == next_message
    left.refresh_from_db()
    assert left.unanswered_since is None
    say("One more?")
    assert asked_of(small) == "One more?"


def test_what_the_model_failed_at_stays_left_for_the_next_message(
    left: Conversation, say: Any, small: ModelServer
) -> None:
    small.behaviour = "500"
    say("hello?", status=502)
    say("Anybody?", status=502)
    small.behaviour = "answer"
    assert say("Please!")["response"] == small.text
    assert asked_of(small) == f"{BOTH}\n\nAnybody?\n\nPlease!"


def test_what_was_sent_to_a_person_and_is_sent_again_gets_the_one_answer(
    say: Any, kim: User, small: ModelServer
) -> None:
    talk = Conversation.objects.get(pk=say("One?")["conversation_id"])
    actions.assign(talk.pk, kim)
    names = [str(uuid4()), str(uuid4())]
    for name, text in zip(names, ("Two?", "Three?"), strict=True):
        say(text, status=202, client_id=name)
    actions.hand_back(talk.pk, kim)
    again = [say(text, client_id=name) for name, text in zip(names, ("Two?", "Three?"), strict=True)]
    assert asked_of(small) == "Two?\n\nThree?"
    assert again[0]["message_id"] == again[1]["message_id"]
    assert len(small.requests) == 2


def test_thanks_are_answered_as_such(say: Any, kim: User, small: ModelServer) -> None:
    talk = Conversation.objects.get(pk=say("One?")["conversation_id"])
    actions.assign(talk.pk, kim)
    actions.send_as_agent(talk.pk, kim, "It is done.")
    say("thanks", status=202)
    say("bye", status=202)
    actions.hand_back(talk.pk, kim)
    assert answer_last(talk)
    assert talk.messages.latest("pk").flags == ["small_talk"]
    assert len(small.requests) == 1
    assert not answer_last(talk)


def test_an_address_that_was_asked_for_is_no_question(say: Any, kim: User, small: ModelServer) -> None:
    talk = Conversation.objects.get(pk=say("human please")["conversation_id"])
    say("How do I pay?")
    say("ana@example.com")
    actions.assign(talk.pk, kim)
    actions.hand_back(talk.pk, kim)
    assert not answer_last(talk)
    talk.refresh_from_db()
    assert talk.unanswered_since is None
    assert len(small.requests) == 1


def test_after_ten_minutes_without_a_model_a_person_is_asked_and_that_is_said(
    left: Conversation, say: Any, small: ModelServer
) -> None:
    small.behaviour = "500"
    with pytest.raises(ModelError):
        answer_last(left)
    old = Conversation.objects.create(user_id="ben", unanswered_since=timezone.now() - timedelta(days=3))
    for pk, minutes in ((left.pk, 11), (old.pk, 3 * 24 * 60)):
        Conversation.objects.filter(pk=pk).update(state_changed_at=timezone.now() - timedelta(minutes=minutes))
    for _ in range(2):
        unanswered.enqueue_forgotten()
        assert notices(left) == ["assigned", "handed_back", "not_answered", "escalated"]
    Conversation.objects.filter(pk=left.pk).update(state_changed_at=timezone.now() - timedelta(minutes=11))
    unanswered.enqueue_forgotten()
    left.refresh_from_db()
    old.refresh_from_db()
    assert (left.state, left.escalation_reason) == ("waiting", "not_answered")
    assert len(notices(left)) == 4
    assert (old.state, notices(old)) == ("bot", [])  # nobody waits for that any more
    small.behaviour = "answer"
    say("Still there?")
    assert asked_of(small) == f"{BOTH}\n\nStill there?"


def test_what_no_attempt_can_answer_is_given_up_at_once(left: Conversation, small: ModelServer) -> None:
    bound, _ = ApiKey.make("site", ["chat"], users=["ben"])
    left.messages.filter(role="user").update(api_key=bound)
    for _ in range(2):
        assert not answer_last(left)
    assert notices(left)[-2:] == ["not_answered", "escalated"]
    left.refresh_from_db()
    assert (left.state, left.unanswered_since, len(small.requests)) == ("waiting", None, 1)


@pytest.mark.parametrize("fallback", ["", "extractive"])
def test_what_was_left_is_within_the_budget_of_the_users_tier(
    fallback: str, left: Conversation, small: ModelServer, settings: Any
) -> None:
    """As a message to POST /chat: refused, and then a person is asked for at once, or passages are quoted."""
    settings.FABRA_BUDGETS, settings.FABRA_MODEL_FALLBACK = {"tiers": {"*": {"user_day": 0}}}, fallback
    settings.FABRA_MODEL_PRICES = {"gpt-4o-mini": [1, 2]}
    assert answer_last(left) is bool(fallback)
    left.refresh_from_db()
    assert len(small.requests) == 1, "none was asked after the person"
    if fallback:
        assert "budget_exhausted" in Message.objects.latest("pk").flags
        return
    assert (left.state, left.escalation_reason) == ("waiting", "not_answered")
    assert notices(left)[-2:] == ["not_answered", "escalated"]
    assert not answer_last(left)
    assert len(notices(left)) == 4
    settings.FABRA_BUDGETS = {}
    assert answer_last(left)
    assert asked_of(small) == BOTH


def test_what_an_answer_after_the_person_costs_counts_for_the_tier(
    bot: None, model: ModelServer, kim: User, client: Client
) -> None:
    body = {"user_id": "user_123", "message": "How do I reset my password?"}
    client.post("/chat", body, content_type="application/json")
    talk = Conversation.objects.get()
    actions.assign(talk.pk, kim)
    client.post("/chat", body | {"conversation_id": talk.pk}, content_type="application/json")
    actions.hand_back(talk.pk, kim)
    assert answer_last(talk)
    assert list(ModelCall.objects.values_list("tier", flat=True)) == ["premium", "premium"]


def test_a_conversation_that_is_deleted_takes_along_what_was_asked_together_in_vain(
    left: Conversation, say: Any, small: ModelServer
) -> None:
    other = say("Invoice INV-33", conversation_id=None)
    small.behaviour = "500"
    with pytest.raises(ModelError):
        answer_last(left)
    small.behaviour = "answer"
    assert answer_last(left)
    assert Trace.objects.filter(query=BOTH).count() == 2
    delete_conversation(left)
    assert list(Trace.objects.values_list("pk", flat=True)) == [UUID(other["context_id"])]


def test_what_is_deleted_during_a_sweep_does_not_end_it(say: Any, kim: User) -> None:
    HandoverSettings.objects.update_or_create(pk=1, defaults={"unanswered_after_min": 5})
    talks = [Conversation.objects.get(pk=say("One?", conversation_id=None)["conversation_id"]) for _ in range(3)]
    for talk in talks:
        actions.assign(talk.pk, kim)
    long_ago = timezone.now() - timedelta(minutes=6)
    Conversation.objects.update(unanswered_since=long_ago, state_changed_at=long_ago)
    deleted: list[int] = []

    def delete_another(instance: Message, **more: Any) -> None:
        if instance.role == "notice" and not deleted:
            other = next(talk for talk in talks if talk.pk != instance.conversation_id)
            deleted.append(other.pk)
            delete_conversation(other)

    post_save.connect(delete_another, sender=Message)
    try:
        unanswered.take_back()
    finally:
        post_save.disconnect(delete_another, sender=Message)
    assert len(deleted) == 1
    assert list(Conversation.objects.values_list("state", flat=True)) == ["bot", "bot"]


def test_agents_are_told_of_a_conversation_that_is_deleted(left: Conversation) -> None:
    async def run() -> None:
        layer = live_layer()
        name = await layer.new_channel()
        await layer.group_add(INBOX, name)
        await sync_to_async(delete_conversation)(left)
        assert await asyncio.wait_for(layer.receive(name), 60) == {"type": "gone", "conversation_id": left.pk}

    async_to_sync(run)()
