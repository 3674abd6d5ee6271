"""Messages of one conversation are answered one after the other, and what is sent twice is answered once."""

import asyncio
import threading
import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.engine.answering import answer
from chat.errors import DeadlineExceeded, ModelError
from chat.models import Conversation, Message
from chat.turns.renewal import LeaseRenewal
from chat.turns.turn import Answer, Question
from common.background import finish_spawned
from events.models import Event
from tests.model_server import ModelServer
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def question(text: str, conversation: int | None = None, **more: Any) -> Question:
    return Question(user_id="ana", message=text, conversation_id=conversation, **more)


async def asked(question: Question) -> "asyncio.Future[Any]":
    """Ask, and return the task once the message is in the queue."""
    before = await queued()
    task = asyncio.ensure_future(answer(question))
    while not task.done() and await queued() <= before:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return task


async def queued() -> set[uuid.UUID]:
    return {token async for row in Conversation.objects.all() for token in row.queue}


async def said(*questions: Question) -> list[Any]:
    """Return the answers to questions that are asked at once, in this order."""
    tasks = [await asked(question) for question in questions[:-1]]
    tasks.append(asyncio.ensure_future(answer(questions[-1])))
    found = await asyncio.gather(*tasks, return_exceptions=True)
    await finish_spawned()  # a web process's loop goes on, this one ends
    return [result if isinstance(result, BaseException) else result[0] for result in found]


def ask(*questions: Question) -> list[Any]:
    return async_to_sync(said)(*questions)


def begun(model: ModelServer) -> int:
    found: Answer = ask(question("One?"))[0]
    model.requests.clear()
    return found.conversation_id


def lines(conversation: int) -> list[tuple[str, str]]:
    return list(Message.objects.filter(conversation=conversation).order_by("pk").values_list("role", "text"))


def queue(conversation: int) -> list[uuid.UUID]:
    return Conversation.objects.get(pk=conversation).queue


def test_messages_at_once_are_answered_in_their_order(small: ModelServer) -> None:
    conversation = begun(small)
    small.delay_s = 0.3
    answers = ask(*(question(f"Number {number}?", conversation) for number in range(4)))
    assert [answer.response for answer in answers] == [small.text] * 4
    assert [text for role, text in lines(conversation) if role == "user"] == [
        "One?",
        *(f"Number {n}?" for n in range(4)),
    ]
    assert [role for role, _ in lines(conversation)] == ["user", "assistant"] * 5
    # Each saw all that was said before it.
    assert [len(sent["messages"]) for sent in small.requests] == [4, 6, 8, 10]
    assert queue(conversation) == []


def test_a_second_message_waits_also_for_the_first_of_the_conversation(small: ModelServer) -> None:
    small.delay_s = 0.5

    async def run() -> list[Answer]:
        first = asyncio.ensure_future(answer(question("One?")))
        while not (row := await Conversation.objects.afirst()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        second = await answer(question("Two?", row.pk))
        return [(await first)[0], second[0]]

    first, second = async_to_sync(run)()
    assert first.conversation_id == second.conversation_id
    assert [role for role, _ in lines(first.conversation_id)] == ["user", "assistant"] * 2
    assert len(small.requests[-1]["messages"]) == 4


def test_other_conversations_do_not_wait(small: ModelServer) -> None:
    one, two = begun(small), begun(small)
    Conversation.objects.filter(pk=one).update(queue=[uuid.uuid4()], lease_until=timezone.now() + timedelta(hours=1))
    assert ask(question("Two?", two))[0].response == small.text


def test_a_failed_answer_gives_its_turn_back(small: ModelServer) -> None:
    conversation = begun(small)
    small.behaviour, small.delay_s = "500", 0.2
    failed = ask(question("Two?", conversation), question("Three?", conversation))
    assert [type(error) for error in failed] == [ModelError, ModelError]
    small.behaviour = "answer"
    assert ask(question("Four?", conversation))[0].response == small.text
    assert queue(conversation) == []


def test_who_goes_away_while_waiting_is_not_waited_for(small: ModelServer) -> None:
    conversation = begun(small)
    small.delay_s = 60.0

    async def run() -> Answer:
        first, gone, last = [await asked(question(text, conversation)) for text in ("Two?", "Three?", "Four?")]
        gone.cancel()
        small.delay_s = 0.0
        await first
        return (await last)[0]

    assert async_to_sync(run)().response == small.text
    assert [text for role, text in lines(conversation) if role == "user"] == ["One?", "Two?", "Four?"]
    assert queue(conversation) == []


def test_a_crash_frees_the_turn_and_the_queue_behind_it(small: ModelServer) -> None:
    conversation = begun(small)
    dead, long_ago = [uuid.uuid4(), uuid.uuid4()], timezone.now() - timedelta(hours=1)
    Conversation.objects.filter(pk=conversation).update(queue=dead, lease_until=timezone.now() + timedelta(hours=1))

    async def run() -> list[Any]:
        both = asyncio.ensure_future(said(question("Two?", conversation), question("Three?", conversation)))
        while not both.done():  # the time goes by that each of the dead has
            await asyncio.sleep(0.05)
            await Conversation.objects.filter(queue__0__in=dead).aupdate(lease_until=long_ago)
        return await both

    answers = async_to_sync(run)()
    assert [answer.response for answer in answers] == [small.text] * 2
    assert [text for role, text in lines(conversation) if role == "user"] == ["One?", "Two?", "Three?"]
    Conversation.objects.filter(pk=conversation).update(queue=dead[:1], lease_until=long_ago)
    assert ask(question("Four?", conversation))[0].response == small.text


def test_a_long_answer_keeps_its_turn(small: ModelServer, settings: Any) -> None:
    conversation = begun(small)
    settings.FABRA_CONVERSATION_LEASE_S, small.delay_s = 9.0, 60.0  # a lease that no pause of the machine ends

    async def run() -> None:
        first = await asked(question("Two?", conversation))
        ends = (await Conversation.objects.aget()).lease_until
        second = await asked(question("Three?", conversation))
        async with asyncio.timeout(60):
            # Until it is renewed.
            while (await Conversation.objects.aget()).lease_until == ends:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        small.delay_s = 0.0
        await asyncio.gather(first, second)
        await finish_spawned()

    async_to_sync(run)()
    assert [role for role, _ in lines(conversation)] == ["user", "assistant"] * 3
    assert len(small.requests[-1]["messages"]) == 6


def test_leases_are_renewed_only_while_some_are_held(settings: Any) -> None:
    settings.FABRA_CONVERSATION_LEASE_S = 0.1
    renewals: list[list[str]] = []
    leases: LeaseRenewal[str] = LeaseRenewal("Some", lambda held: renewals.append(list(held)))
    for name in ("first", "second"):
        leases.add(name)
        wait_until(partial(renewals.__contains__, [name]))
        leases.discard(name)
        wait_until(lambda: all(thread.name != "Some" for thread in threading.enumerate()))


def test_waiting_ends_with_the_requests_deadline(small: ModelServer, settings: Any) -> None:
    conversation = begun(small)
    Conversation.objects.filter(pk=conversation).update(
        queue=[uuid.uuid4()], lease_until=timezone.now() + timedelta(hours=1)
    )
    settings.FABRA_CHAT_DEADLINE_S = 0.3
    refused = ask(question("Two?", conversation))[0]
    assert isinstance(refused, DeadlineExceeded)
    assert len(queue(conversation)) == 1
    assert lines(conversation)[-1] == ("assistant", small.text)


def test_what_is_sent_twice_is_stored_and_answered_once(small: ModelServer) -> None:
    conversation, name = begun(small), uuid.uuid4()
    first, second = (ask(question("Two?", conversation, client_id=name))[0] for _ in range(2))
    assert first.to_dict() == second.to_dict()
    assert len(small.requests) == 1
    assert lines(conversation)[-2:] == [("user", "Two?"), ("assistant", small.text)]
    assert Event.objects.filter(event_type="message_sent").count() == 2


@pytest.mark.parametrize("is_first", [True, False])
def test_what_is_sent_twice_at_once_waits_for_the_one_answer(small: ModelServer, is_first: bool) -> None:
    conversation = None if is_first else begun(small)
    small.delay_s, name = 0.3, uuid.uuid4()
    answers = ask(*[question("Two?", conversation, client_id=name)] * 3)
    assert len({answer.message_id for answer in answers}) == 1
    assert [answer.response for answer in answers] == [small.text] * 3
    assert len(small.requests) == 1
    assert Conversation.objects.count() == 1
    assert Message.objects.filter(client_id=name).count() == 1
    assert queue(answers[0].conversation_id) == []


def test_a_first_message_sent_again_finds_its_conversation(small: ModelServer) -> None:
    name = uuid.uuid4()
    first, second = (ask(question("One?", client_id=name))[0] for _ in range(2))
    assert first.to_dict() == second.to_dict()
    assert Conversation.objects.count() == len(small.requests) == 1


def test_what_failed_is_asked_again_and_stored_once(small: ModelServer) -> None:
    conversation, name = begun(small), uuid.uuid4()
    small.behaviour = "500"
    assert isinstance(ask(question("Two?", conversation, client_id=name))[0], ModelError)
    small.behaviour = "answer"
    assert ask(question("Two?", conversation, client_id=name))[0].response == small.text
    assert lines(conversation)[-2:] == [("user", "Two?"), ("assistant", small.text)]
    assert len(lines(conversation)) == 4


def test_sending_again_is_not_counted_and_needs_no_room_in_the_limit(small: ModelServer, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 2
    name = uuid.uuid4()
    for _ in range(2):
        last = ask(question("One?", client_id=name))[0]
    assert ask(question("Two?", last.conversation_id, client_id=uuid.uuid4()))[0].response == small.text
    assert ask(question("One?", client_id=name))[0].to_dict() == last.to_dict()
    assert isinstance(ask(question("Three?"))[0], Exception)


def test_an_unknown_form_of_client_id_is_refused(bot: None, client: Any) -> None:
    body = {"user_id": "user_123", "message": "Hello", "client_id": "x"}
    response = client.post("/chat", body, content_type="application/json")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_input")


def test_order_costs_no_statement_of_its_own(small: ModelServer) -> None:
    begun(small)
    with CaptureQueriesContext(connection) as first:
        conversation = ask(question("One?"))[0].conversation_id
    with CaptureQueriesContext(connection) as second:
        ask(question("Two?", conversation))
    # The message with its evidence, and the answer with its outcome, each in one statement.
    assert statements_of_conversations(first) == 2
    # Besides: the turn, which says whose conversation it is and who answers in it; and what was said before.
    assert statements_of_conversations(second) == 4


def statements_of_conversations(captured: CaptureQueriesContext) -> int:
    """Return how many read or write a conversation; settings, which are read every few seconds, are none."""
    said = [query["sql"] for query in captured]
    return sum("chat_conversation" in sql or "chat_message" in sql for sql in said)
