"""What pages and programs are told of a conversation's state is what it is, also where it changes during an answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from chat.conversations.management import delete_conversation
from chat.engine.answering import run
from chat.engine.beginning import begin
from chat.errors import ConversationNotFound
from chat.handover import actions
from chat.live.groups import ANSWERS
from chat.live.layer import live_layer
from chat.models import Conversation, Message, reasons
from chat.page.live_page import LivePage
from chat.turns.turn import Answer, Question
from contexts.models import Trace
from tests.chat.test_handover import agent_named
from tests.chat.test_socket import connect
from tests.model_server import ModelServer
from tests.sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def kim(transactional_db: Any) -> User:
    return agent_named("kim", first_name="Kim")


@pytest.fixture
def ana(small: ModelServer, client: Client) -> Client:
    client.force_login(User.objects.create_user("ana"))
    return client


def answered_while(small: ModelServer, change: Callable[[int], object]) -> Answer:
    """Ask in a new conversation, change it while the model answers, and return the answer."""
    small.delay_s = 0.3

    def work(conversation_id: int) -> None:
        change(conversation_id)
        connection.close()

    async def ask() -> Answer:
        turn = await begin(Question(user_id="ana", message="One?"))
        await asyncio.to_thread(work, turn.conversation_id)
        *_, last = [piece async for piece in run(turn, is_streamed=False)]
        assert isinstance(last, Answer)
        return last

    return async_to_sync(ask)()


def close(conversation_id: int) -> None:
    actions.close(conversation_id, User.objects.get(username="kim"))


def come_and_go(conversation_id: int) -> None:
    kim = User.objects.get(username="kim")
    actions.assign(conversation_id, kim)
    actions.hand_back(conversation_id, kim)


def test_an_answer_tells_the_state_in_which_it_was_stored(small: ModelServer) -> None:
    result = answered_while(small, lambda pk: actions.escalate(pk, reasons.CUSTOMER_ASKED))
    assert (result.state, result.response) == ("waiting", small.text)


def test_nothing_is_said_in_a_conversation_that_is_closed(small: ModelServer, kim: User) -> None:
    result = answered_while(small, close)
    assert (result.state, result.response, result.is_dropped, result.status) == ("closed", "", True, 200)
    assert result.notices == ["This conversation was closed. Write again to begin a new one."]
    assert [message.role for message in Message.objects.order_by("pk")] == ["user", "notice"]
    trace = Trace.objects.get()
    assert (trace.state, trace.error_code) == ("failed", "conversation_closed")
    assert Conversation.objects.get().queue == []


def test_of_an_answer_that_comes_later_the_state_is_told_too(small: ModelServer, kim: User) -> None:
    result = answered_while(small, come_and_go)
    assert (result.state, result.is_dropped, result.status) == ("bot", True, 202)


def test_a_conversation_that_is_deleted_meanwhile_is_gone_and_nobody_took_it_over(small: ModelServer) -> None:
    with pytest.raises(ConversationNotFound):
        answered_while(small, lambda pk: delete_conversation(Conversation.objects.get(pk=pk)))
    assert not Trace.objects.exists()


@asynccontextmanager
async def page_of(browser: Client) -> AsyncIterator[Socket]:
    socket = connect(browser)
    assert await socket.connect()
    yield socket
    await socket.disconnect()


async def next_of(socket: Socket, *kinds: str) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = json.loads((await socket.receive_output())["text"])
        if frame["type"] in kinds:
            return frame


def asking(browser: Client, work: Callable[[Socket, int], Awaitable[None]]) -> None:
    """Have a page ask in a conversation, and do the work with both once the answer has begun."""
    talk = Conversation.objects.create(user_id="ana", title="One?")

    async def go() -> None:
        async with page_of(browser) as page:
            await page.send({"type": "open", "conversation_id": talk.pk, "after": 0})
            assert (await next_of(page, "state"))["state"] == "bot"
            await page.send({"message": "One?", "conversation_id": talk.pk})
            await next_of(page, "start")
            await work(page, talk.pk)

    async_to_sync(go)()


def test_a_page_that_asks_for_a_person_during_an_answer_shows_that_afterwards(ana: Client, small: ModelServer) -> None:
    small.delay_s = 10.0

    async def work(page: Socket, conversation_id: int) -> None:
        await sync_to_async(actions.escalate)(conversation_id, reasons.CUSTOMER_ASKED)
        assert (await next_of(page, "state"))["state"] == "waiting"
        small.delay_s = 0.0
        assert (await next_of(page, "done"))["state"] == "waiting"

    asking(ana, work)


def test_closing_ends_the_stream_of_a_page(ana: Client, small: ModelServer, kim: User) -> None:
    small.delay_s = 10.0

    async def work(page: Socket, conversation_id: int) -> None:
        layer = live_layer()
        web_processes = await layer.new_channel()
        await layer.group_add(ANSWERS, web_processes)
        await sync_to_async(actions.close)(conversation_id, kim)
        small.delay_s = 0.0
        assert (await asyncio.wait_for(layer.receive(web_processes), 60))["conversation_id"] == conversation_id
        stopped = await next_of(page, "stopped", "done")
        assert (stopped["type"], stopped["state"]) == ("stopped", "closed")

    asking(ana, work)


def test_a_state_that_came_after_the_answer_was_stored_is_sent_again(small: ModelServer) -> None:
    talk = Conversation.objects.create(user_id="ana", title="One?")
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def run() -> None:
        page = LivePage(sent.put)
        await page.open(talk.pk, "ana", 0, "default")
        assert (await asyncio.wait_for(sent.get(), 60))["state"] == "bot"
        page.hold()
        page.begin_answer(talk.pk, None, is_reopened=False)
        await sync_to_async(actions.escalate)(talk.pk, reasons.CUSTOMER_ASKED)
        while (await asyncio.wait_for(sent.get(), 60)).get("state") != "waiting":
            pass
        await page.release(None, "bot")  # what the page was told with the answer
        while (await asyncio.wait_for(sent.get(), 60)).get("state") != "waiting":
            pass
        page.hold()
        await page.release(None, "waiting")
        assert sent.empty()
        page.close()

    async_to_sync(run)()
