"""A message holds its turn, and can be stopped, from its position in the queue on, however long its context takes."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.test import Client

from chat.engine.answering import answer, run
from chat.engine.beginning import begin
from chat.engine.stopping import stop_answers
from chat.handover import actions
from chat.models import Conversation, Message
from chat.turns.running import stop_here, take_over_here
from chat.turns.turn import Answer, Answered, Question, Turn
from common.background import finish_spawned
from contexts.declaration import context
from contexts.items import ContextItem
from contexts.models import Trace
from tests.chat.test_handover import agent_named
from tests.chat.test_socket import connect
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db(transaction=True)


class Assembly:
    """A context whose assembly can be held up."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.takes_s = 0.0
        """What is held up already follows a change."""

    async def __call__(self, user_id: str, query: str) -> list[ContextItem]:
        self.asked.append(query)
        began = time.monotonic()
        while time.monotonic() - began < self.takes_s:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return [ContextItem("Be kind.", required=True)]


@pytest.fixture
def assembly(small: ModelServer, use_context: Callable[[Any], None]) -> Assembly:
    held = Assembly()

    @context(name="held", max_tokens=1000)
    async def held_up(user_id: str, query: str) -> list[ContextItem]:
        return await held(user_id, query)

    use_context(held_up)
    return held


@pytest.fixture
def talk(transactional_db: Any) -> Conversation:
    return Conversation.objects.create(user_id="ana", title="One?")


def of(talk: Conversation, message: str = "Two?") -> Question:
    return Question(user_id="ana", message=message, conversation_id=talk.pk)


async def queued(count: int) -> None:
    """Wait until so many messages of the conversation are answered, or wait for it."""
    async with asyncio.timeout(60):
        while len((await Conversation.objects.aget()).queue) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def lines(talk: Conversation) -> list[tuple[str, str]]:
    return list(Message.objects.filter(conversation=talk).order_by("pk").values_list("role", "text"))


def is_stopped(result: Answer, talk: Conversation) -> bool:
    """Return whether nothing is left of the message."""
    return (result.response, result.flags, result.message_id, result.conversation_id, result.state) == (
        "", ["answer_stopped"], None, talk.pk, "bot",
    )  # fmt: skip


def test_a_long_assembly_keeps_its_turn(
    assembly: Assembly, talk: Conversation, small: ModelServer, settings: Any
) -> None:
    settings.FABRA_CONVERSATION_LEASE_S, assembly.takes_s = 9.0, 60.0  # a lease that no pause of the machine ends

    async def ask() -> None:
        first = asyncio.ensure_future(answer(of(talk, "Two?")))
        await until(lambda: assembly.asked)
        ends = (await Conversation.objects.aget()).lease_until
        second = asyncio.ensure_future(answer(of(talk, "Three?")))
        await queued(2)
        async with asyncio.timeout(60):
            while (await Conversation.objects.aget()).lease_until == ends:  # until it is renewed  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assembly.takes_s = 0.0
        await asyncio.gather(first, second)
        await finish_spawned()

    async_to_sync(ask)()
    assert lines(talk) == [("user", "Two?"), ("assistant", small.text), ("user", "Three?"), ("assistant", small.text)]
    assert len(small.requests[-1]["messages"]) == 4


def test_an_assembly_is_stopped_and_leaves_nothing(assembly: Assembly, talk: Conversation, small: ModelServer) -> None:
    assembly.takes_s = 60.0

    async def ask() -> Answer:
        asked = asyncio.ensure_future(answer(of(talk)))
        await until(lambda: assembly.asked)
        assert (await stop_answers(talk.pk)).stopped == 1
        result, _ = await asyncio.wait_for(asked, 60)
        assert (await stop_answers(talk.pk)).stopped == 0
        await finish_spawned()
        return result

    assert is_stopped(async_to_sync(ask)(), talk)
    talk.refresh_from_db()
    assert (lines(talk), talk.queue, Trace.objects.count(), small.requests) == ([], [], 0, [])


def test_a_message_that_waits_for_its_turn_is_stopped_with_the_answer_before_it(
    assembly: Assembly, talk: Conversation, small: ModelServer
) -> None:
    small.behaviour = "hang"

    async def ask() -> list[Answer]:
        first = asyncio.ensure_future(answer(of(talk, "Two?")))
        await until(lambda: small.requests)
        second = asyncio.ensure_future(answer(of(talk, "Three?")))
        await queued(2)
        assert (await stop_answers(talk.pk)).stopped == 2
        found = await asyncio.wait_for(asyncio.gather(first, second), 60)
        await finish_spawned()
        return [result for result, _ in found]

    first, second = async_to_sync(ask)()
    assert (first.response, first.flags, first.message_id is None) == ("", ["answer_stopped"], False)
    assert is_stopped(second, talk)
    assert assembly.asked == ["Two?"]
    talk.refresh_from_db()
    assert (lines(talk), talk.queue) == ([("user", "Two?"), ("assistant", "")], [])


def test_a_stop_just_before_the_model_is_asked_is_heeded(
    assembly: Assembly, talk: Conversation, small: ModelServer
) -> None:
    async def ask() -> Answer:
        turn = await begin(of(talk))
        assert isinstance(turn, Turn)
        assert (await stop_answers(talk.pk)).stopped == 1
        await asyncio.sleep(0)
        *_, result = [piece async for piece in run(turn, is_streamed=True)]
        await finish_spawned()
        assert isinstance(result, Answer)
        return result

    result = async_to_sync(ask)()
    assert (result.flags, small.requests) == (["answer_stopped"], [])
    assert lines(talk) == [("user", "Two?"), ("assistant", "")]


def test_an_answer_that_nobody_reads_is_forgotten(assembly: Assembly, talk: Conversation) -> None:
    async def ask() -> int:
        await begin(of(talk))
        gc.collect()
        await finish_spawned()
        return stop_here(talk.pk)

    assert async_to_sync(ask)() == 0


def test_what_is_assembled_while_a_person_takes_over_goes_to_them_at_once(
    assembly: Assembly, talk: Conversation, small: ModelServer
) -> None:
    kim = agent_named("kim")
    assembly.takes_s = 60.0

    async def ask() -> Answer:
        asked = asyncio.ensure_future(answer(of(talk)))
        await until(lambda: assembly.asked)
        await sync_to_async(actions.assign)(talk.pk, kim)
        take_over_here(talk.pk)  # as each web process does then
        result, _ = await asyncio.wait_for(asked, 60)
        await finish_spawned()
        return result

    assert (async_to_sync(ask)().status, small.requests) == (202, [])
    assert lines(talk)[-1] == ("user", "Two?")


@pytest.mark.parametrize("is_assembling", [True, False])
def test_what_waits_while_a_person_takes_over_reaches_them_in_its_order(
    is_assembling: bool, assembly: Assembly, talk: Conversation, small: ModelServer
) -> None:
    kim = agent_named("kim")
    assembly.takes_s, small.delay_s = (60.0, 0.0) if is_assembling else (0.0, 60.0)
    numbers = range(2, 8)

    async def ask() -> list[Answer]:
        tasks: list[asyncio.Future[Any]] = []
        for number in numbers:
            tasks.append(asyncio.ensure_future(answer(of(talk, f"Number {number}?"))))
            await queued(len(tasks))
        await until(lambda: assembly.asked if is_assembling else small.requests)
        await sync_to_async(actions.assign)(talk.pk, kim)
        tasks.append(asyncio.ensure_future(answer(of(talk, "Are you there?"))))
        assembly.takes_s = small.delay_s = 0.0
        found = await asyncio.gather(*tasks)
        await finish_spawned()
        return [result for result, _ in found]

    assert [result.status for result in async_to_sync(ask)()] == [202] * 7
    said = [text for role, text in lines(talk) if role == "user"]
    assert said == [*(f"Number {number}?" for number in numbers), "Are you there?"]
    talk.refresh_from_db()
    assert (talk.queue, assembly.asked) == ([], ["Number 2?"])
    assert len(small.requests) == (0 if is_assembling else 1)


@asynccontextmanager
async def page_of(browser: Client) -> AsyncIterator[Any]:
    socket = connect(browser)
    assert await socket.connect()
    yield socket
    await socket.disconnect()


def test_a_page_learns_that_its_message_was_stopped(
    assembly: Assembly, talk: Conversation, client: Client, small: ModelServer
) -> None:
    client.force_login(User.objects.create_user("ana"))
    assembly.takes_s = 60.0

    async def ask() -> list[dict[str, Any]]:
        async with page_of(client) as page:
            await page.send({"message": "Two?", "conversation_id": talk.pk})
            await until(lambda: assembly.asked)
            await stop_answers(talk.pk)
            frames = [json.loads((await page.receive_output())["text"])]
            assembly.takes_s = 0.0
            await page.send({"message": "Three?", "conversation_id": talk.pk})
            while frames[-1]["type"] != "done":
                frames.append(json.loads((await page.receive_output())["text"]))
            return frames

    frames = async_to_sync(ask)()
    assert frames[0] == {"type": "stopped"}
    assert frames[-1]["response"] == small.text
    assert lines(talk) == [("user", "Three?"), ("assistant", small.text)]


def test_a_stopped_message_can_be_sent_again(assembly: Assembly, talk: Conversation, small: ModelServer) -> None:
    assembly.takes_s, name = 60.0, uuid4()
    question = Question(user_id="ana", message="Two?", conversation_id=talk.pk, client_id=name)

    async def ask() -> Answer:
        asked = asyncio.ensure_future(begin(question))
        await until(lambda: assembly.asked)
        stop_here(talk.pk)
        settled = await asked
        assert isinstance(settled, Answered)
        assembly.takes_s = 0.0
        result, _ = await answer(question)
        await finish_spawned()
        return result

    assert async_to_sync(ask)().response == small.text
    assert lines(talk) == [("user", "Two?"), ("assistant", small.text)]


def test_a_first_message_that_was_sent_twice_is_stopped_while_it_waits_for_its_answer(
    assembly: Assembly, bot: None, small: ModelServer
) -> None:
    small.delay_s = 60.0
    question = Question(user_id="ana", message="Two?", client_id=uuid4())

    async def ask() -> tuple[int, Answer]:
        first = asyncio.ensure_future(answer(question))
        await until(lambda: small.requests)
        second = asyncio.ensure_future(answer(question))
        await queued(2)
        talk = await Conversation.objects.aget()
        stop_here(talk.pk)
        await first
        result, _ = await second
        await finish_spawned()
        return talk.pk, result

    conversation_id, result = async_to_sync(ask)()
    assert result.conversation_id == conversation_id
    assert result.flags == ["answer_stopped"]
