"""Whoever is at the limit of what the bot answers still reaches a person, and answers the one who holds their chat."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client

from chat.access.callers import Caller
from chat.handover import actions
from chat.limits import configured
from chat.limits.admission import RateLimited
from chat.limits.messages import admit, admit_to_person
from chat.models import ApiKey, Conversation, LimitSettings, Message
from contexts.models import Trace
from tests.chat.sites import make_site
from tests.chat.test_handover import agent_named
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db(transaction=True)

Say = Callable[..., Any]
WISH = "I want to talk to a human"


@pytest.fixture
def kim(transactional_db: Any) -> User:
    return agent_named("kim", first_name="Kim")


@pytest.fixture
def say(small: ModelServer, client: Client, settings: Any) -> Say:
    """Return a function that says something over REST, where the bot answers one message an hour."""
    settings.FABRA_RATE_LIMIT_DEFAULT = 1

    def say(message: str, conversation: int | None = None, headers: Any = None, **more: Any) -> Any:
        body = {"user_id": "ana", "message": message, **more}
        if conversation:
            body["conversation_id"] = conversation
        return client.post("/chat", body, content_type="application/json", headers=headers)

    return say


def begun(say: Say, **more: Any) -> int:
    """Return the conversation of the one message that the bot answers."""
    return int(say("One?", **more).json()["conversation_id"])


def result(response: Any) -> tuple[int, str]:
    body = response.json()
    return response.status_code, body["state"] if response.status_code < 300 else body["error"]["code"]


REFUSED = (429, "rate_limited")


def test_a_wish_begins_a_conversation_that_waits(say: Say, small: ModelServer) -> None:
    begun(say)
    assert result(say("Two?")) == REFUSED
    response = say(WISH)
    assert result(response) == (200, "waiting")
    assert (response.headers["X-RateLimit-Limit"], response.headers["X-RateLimit-Remaining"]) == ("100", "99")
    assert Conversation.objects.filter(state="waiting").count() == 1
    assert len(small.requests) == Trace.objects.count() == 1


def test_a_wish_in_a_conversation_and_after_it_was_closed(say: Say, kim: User) -> None:
    conversation = begun(say)
    assert result(say(WISH, conversation)) == (200, "waiting")
    actions.assign(conversation, kim)
    actions.close(conversation, kim)
    assert result(say("Two?", conversation)) == REFUSED
    again = say(WISH, conversation)
    assert result(again) == (200, "waiting") and again.json()["conversation_id"] != conversation


def test_the_agents_question_is_answered(say: Say, kim: User, small: ModelServer) -> None:
    conversation = begun(say)
    actions.assign(conversation, kim)
    assert result(say("It is 42.", conversation)) == (202, "person")
    assert result(say("And it is urgent.", conversation)) == (202, "person")
    assert len(small.requests) == 1
    assert Message.objects.filter(conversation=conversation, role="user").count() == 3


def test_the_same_streamed(say: Say, kim: User) -> None:
    conversation = begun(say)
    actions.assign(conversation, kim)
    response = say("It is 42.", conversation, stream=True)

    async def read() -> bytes:
        return b"".join([part async for part in response.streaming_content])

    assert response.status_code == 202
    assert b"event: done" in async_to_sync(read)()
    assert Message.objects.filter(conversation=conversation, text="It is 42.").exists()


def test_what_is_said_while_nobody_has_come_is_kept_without_the_bot(say: Say, small: ModelServer) -> None:
    conversation = begun(say)
    actions.escalate(conversation, "customer_asked")
    response = say("My order is 42.", conversation)
    assert result(response) == (200, "waiting") and "A person was asked already" in response.json()["response"]
    assert len(small.requests) == 1


def test_the_bot_stays_at_its_limit(say: Say, kim: User, small: ModelServer) -> None:
    conversation = begun(say)
    actions.assign(conversation, kim)
    assert result(say("It is 42.", conversation)) == (202, "person")
    actions.hand_back(conversation, kim)
    assert result(say("Two?", conversation)) == REFUSED
    assert result(say("Is it 42?", conversation, user_id="ben")) == (
        404,
        "conversation_not_found",
    )  # not at their limit
    begun(say, user_id="cy")
    actions.escalate(conversation, "customer_asked")
    assert result(say("Is it 42?", conversation, user_id="cy")) == REFUSED  # another's conversation opens nothing


def test_the_wider_limit_bounds_it(say: Say, kim: User, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_PERSON = 2
    conversation = begun(say)
    actions.assign(conversation, kim)
    said = [say(f"It is {number}.", conversation) for number in range(3)]
    assert [response.status_code for response in said] == [202, 202, 429]
    assert "2 messages to a person" in said[-1].json()["error"]["message"]
    assert result(say(WISH)) == REFUSED


def test_an_operator_sets_it_in_the_admin(say: Say, kim: User) -> None:
    conversation = begun(say)
    actions.assign(conversation, kim)
    limits = LimitSettings.objects.create(window_min=60, default_messages=1, person_messages=1)
    configured.rows.clear()
    assert [say(f"It is {number}.", conversation).status_code for number in range(2)] == [202, 429]
    limits.person_messages = None  # no limit
    limits.save()
    configured.rows.clear()
    assert say("It is 3.", conversation).status_code == 202


def test_it_holds_without_redis_and_for_the_longest_user_id(
    say: Say, kim: User, settings: Any, redis_down: None
) -> None:
    settings.FABRA_RATE_LIMIT_PERSON = 2
    user = "u" * 250
    conversation = begun(say, user_id=user)
    actions.assign(conversation, kim)
    said = [say(f"It is {number}.", conversation, user_id=user).status_code for number in range(3)]
    assert said == [202, 202, 429]


def test_the_address_is_bounded_once_more(settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_ADDRESS = 1
    caller = Caller(sender="192.0.2.1")

    async def send() -> None:
        try:
            await admit("ana", "", caller)
        except RateLimited as refused:
            await admit_to_person(refused, caller)

    async_to_sync(send)()
    async_to_sync(send)()
    with pytest.raises(RateLimited, match="1 messages from one address"):
        async_to_sync(send)()


def test_whoever_may_send_nothing_reaches_nobody(say: Say, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 0
    assert result(say(WISH)) == REFUSED


def test_over_the_limit_of_an_api_key(say: Say, kim: User, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 20
    _, key = ApiKey.make("desk", ["chat"], per_minute=2)
    headers = {"Authorization": f"Bearer {key}"}
    conversation = begun(say, headers=headers)
    say("Two?", headers=headers)
    assert result(say("Three?", headers=headers)) == REFUSED
    actions.assign(conversation, kim)
    statuses = [say("It is 42.", conversation, headers=headers).status_code for _ in range(3)]
    assert statuses == [202, 202, 429]  # as many again as the key allows


def test_over_the_limit_of_a_public_key(say: Say, settings: Any) -> None:
    settings.DEBUG, settings.FABRA_RATE_LIMIT_DEFAULT = False, 20
    site = make_site(per_minute=1)
    users = {user: site.headers(site.token(user)) for user in ("ana", "ben")}
    begun(say, headers=users["ana"])
    assert result(say("Two?", user_id="ben", headers=users["ben"])) == REFUSED
    assert result(say(WISH, user_id="ben", headers=users["ben"])) == (200, "waiting")
    assert result(say(WISH, headers=users["ana"])) == REFUSED
