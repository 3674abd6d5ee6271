"""What a client gets while a person is asked, holds the conversation, and has given it back."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User

from chat.engine.answering import answer
from chat.handover import actions
from chat.models import Conversation, Message
from chat.turns.turn import Question
from tests.chat.openai_api.conftest import QUESTION, text_of, the_conversation
from tests.chat.test_handover import agent_named
from tests.model_server import TEXT, ModelServer

pytestmark = pytest.mark.django_db(transaction=True)

HELD = "A person answers you here. What they write comes with your next message."
ASKED = "A person was asked to join this conversation. Until then you can go on asking me."


@pytest.fixture
def kim(transactional_db: Any) -> User:
    return agent_named("kim", first_name="Kim")


class Chat:
    """A client that keeps the conversation, as front ends do."""

    def __init__(self, complete: Any) -> None:
        self.complete, self.told = complete, []  # type: ignore[var-annotated]

    def say(self, question: str) -> str:
        response = self.complete(*self.told, question)
        self.body = response.json()
        self.told += [question, text_of(response)]
        return str(self.told[-1])


@pytest.fixture
def chat(small: ModelServer, complete: Any) -> Chat:
    return Chat(complete)


def test_what_a_person_writes_comes_with_the_next_message(chat: Chat, small: ModelServer, kim: User) -> None:
    assert chat.say(QUESTION) == TEXT
    conversation = the_conversation()
    actions.assign(conversation.pk, kim)
    assert chat.say("Is anybody there?") == HELD
    assert (chat.body["fabra"]["state"], chat.body["usage"]["total_tokens"]) == ("person", 0)
    actions.send_as_agent(conversation.pk, kim, "I am. What is it?")
    actions.send_as_agent(conversation.pk, kim, "Hello?")
    assert chat.say("My *card*.") == f"**Kim:** I am. What is it?\n\n**Kim:** Hello?\n\n{HELD}"
    assert chat.say("It is blue.") == HELD  # it is told once
    actions.send_as_agent(conversation.pk, kim, "Done.")
    actions.hand_back(conversation.pk, kim)
    small.text = "You are welcome."
    assert chat.say("Great, what now?") == "**Kim:** Done.\n\nYou are welcome."
    assert chat.say("And then?") == "You are welcome."
    assert the_conversation() == conversation  # all of it is one
    assert len(small.requests) == 3
    assert any("I am. What is it?" in message["content"] for message in small.requests[-1]["messages"])
    assert chat.body["fabra"].keys() & {"response"} == set()


def test_a_wish_for_a_person_is_told_and_goes_on(chat: Chat, small: ModelServer) -> None:
    assert chat.say("I want to talk to a person.") == ASKED
    assert chat.body["fabra"]["state"] == "waiting"
    assert chat.say(QUESTION) == TEXT
    assert chat.say("ana@example.com") == "Thank you. We will write to ana@example.com."
    assert the_conversation().contact == "ana@example.com"


def test_what_changes_with_an_answer_stands_below_it(chat: Chat, small: ModelServer, kim: User) -> None:
    chat.say(QUESTION)
    actions.assign(the_conversation().pk, kim)
    actions.close(the_conversation().pk, kim)
    assert chat.say("And now?") == f"{TEXT}\n\nYour last conversation was closed, so this is a new one."
    assert chat.body["fabra"]["response"] == TEXT
    newest = Conversation.objects.latest("pk")
    chat.say("And then?")
    assert Message.objects.filter(conversation=newest, role="user").count() == 2


def test_an_answer_that_the_bot_gave_after_a_person_left_is_told(chat: Chat, small: ModelServer, kim: User) -> None:
    chat.say(QUESTION)
    conversation = the_conversation()
    actions.assign(conversation.pk, kim)
    chat.say("Where is my card?")
    actions.hand_back(conversation.pk, kim)
    stored = Message.objects.get(text="Where is my card?")
    small.text = "I am here again."
    question = Question(user_id="ana", message=stored.text, conversation_id=conversation.pk, stored_id=stored.pk)
    async_to_sync(answer)(question)
    small.text = "Later."
    assert chat.say("And now?") == "I am here again.\n\nLater."
    assert the_conversation() == conversation
