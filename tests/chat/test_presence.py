"""Whether people are there, as the other side sees it: at once when they come, and not for long once they have left."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.test import Client

from chat.handover import actions
from chat.live import presence
from chat.models import Conversation
from common.redis import plain_redis, redis_key
from fabra_project.asgi import websocket
from tests.chat.test_handover import agent_named
from tests.chat.test_socket import connect
from tests.sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def often(settings: Any) -> None:
    """Look often, so that no test waits."""
    settings.DEBUG = False
    settings.FABRA_CHAT_PUBLIC = True
    settings.FABRA_LIVE_LOOK_S = 0.1
    settings.FABRA_PRESENCE_S, settings.FABRA_PRESENCE_LEFT_S = 1.0, 0.3


@pytest.fixture
def ana(client: Client) -> Client:
    client.force_login(User.objects.create_user("ana"))
    return client


@pytest.fixture
def kim(transactional_db: Any) -> User:
    return agent_named("kim", first_name="Kim")


@pytest.fixture
def desk(kim: User) -> Client:
    client = Client()
    client.force_login(kim)
    return client


@pytest.fixture
def talk(kim: User) -> Conversation:
    conversation = Conversation.objects.create(user_id="ana", title="One?")
    return actions.assign(conversation.pk, kim)


@asynccontextmanager
async def inbox_of(desk: Client) -> AsyncIterator[Socket]:
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in desk.cookies.items())
    headers = [(b"host", b"testserver"), (b"cookie", cookies.encode()), (b"origin", b"http://testserver")]
    socket = Socket(websocket, "/ws/inbox", headers=headers)
    assert await socket.connect()
    yield socket
    await socket.disconnect()


@asynccontextmanager
async def page_of(browser: Client, talk: Conversation) -> AsyncIterator[Socket]:
    socket = connect(browser)
    assert await socket.connect()
    await socket.send({"type": "open", "conversation_id": talk.pk, "after": 0})
    yield socket
    await socket.disconnect()


async def until(socket: Socket, **wanted: Any) -> dict[str, Any]:
    """Return the next frame that has these values."""
    while True:
        frame: dict[str, Any] = json.loads((await socket.receive_output())["text"])
        if wanted.items() <= frame.items():
            return frame


def test_a_page_shows_whether_its_agent_is_there(ana: Client, desk: Client, talk: Conversation) -> None:
    async def run() -> None:
        async with page_of(ana, talk) as page:
            assert await until(page, type="state") == {
                "type": "state", "conversation_id": talk.pk, "state": "person", "agent": "Kim", "is_here": False,
            }  # fmt: skip
            async with inbox_of(desk) as inbox:
                await inbox.send({"type": "active"})
                await until(page, type="state", is_here=True)
            await until(page, type="state", is_here=False)

    async_to_sync(run)()


def test_somebody_is_there_while_one_of_their_windows_is_open(
    ana: Client, desk: Client, talk: Conversation, kim: User, settings: Any
) -> None:
    who, settings.FABRA_PRESENCE_S = presence.agent(kim.pk), 30.0  # no pause of the machine ends the first's entry

    async def run() -> None:
        async with page_of(ana, talk) as page, inbox_of(desk) as one:
            await one.send({"type": "active"})
            await until(page, is_here=True)
            async with inbox_of(desk) as other:
                await other.send({"type": "active"})
                await asyncio.sleep(0.3)
            await asyncio.sleep(0.8)  # the other window's entry has ended
            assert await presence.are_here([who]) == {who: True}
            assert await page.receive_nothing(timeout=0.2)

    async_to_sync(run)()


def test_an_inbox_that_nobody_uses_is_nobody(ana: Client, desk: Client, talk: Conversation, settings: Any) -> None:
    settings.FABRA_INBOX_IDLE_S, settings.FABRA_PRESENCE_S = 0.3, 3.0

    async def run() -> None:
        async with page_of(ana, talk) as page, inbox_of(desk) as inbox:
            await inbox.send({"type": "open", "conversation_id": talk.pk})  # a page does that by itself
            await until(inbox, type="presence", is_here=True)
            await until(page, type="state", is_here=False)
            await inbox.send({"type": "typing"})
            await until(page, type="state", is_here=True)
            await until(page, type="state", is_here=False)

    async_to_sync(run)()


def test_an_agent_sees_whether_the_customer_has_the_chat_open(
    ana: Client, desk: Client, talk: Conversation, settings: Any
) -> None:
    settings.FABRA_PRESENCE_S = 9.0  # no pause of the machine ends an entry that is renewed

    async def ends_at() -> float:
        entries = redis_key("presence", presence.customer_of(talk.pk))
        [(_, score)] = await sync_to_async(plain_redis().zrange)(entries, 0, -1, withscores=True)
        return float(score)

    async def run() -> None:
        async with inbox_of(desk) as inbox:
            await inbox.send({"type": "open", "conversation_id": talk.pk})
            assert await until(inbox, type="presence") == {
                "type": "presence", "conversation_id": talk.pk, "is_here": False,
            }  # fmt: skip
            async with page_of(ana, talk):
                await until(inbox, type="presence", is_here=True)
                first = await ends_at()
                async with asyncio.timeout(60):
                    while await ends_at() == first:  # until it is renewed  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                assert await inbox.receive_nothing(timeout=0.1)
            await until(inbox, type="presence", is_here=False)

    async_to_sync(run)()


def test_a_customer_whom_the_bot_answers_is_not_followed(ana: Client, talk: Conversation, kim: User) -> None:
    actions.hand_back(talk.pk, kim)

    async def run() -> None:
        async with page_of(ana, talk) as page:
            assert (await until(page, type="state"))["is_here"] is None
            await asyncio.sleep(0.3)
            assert await presence.are_here([who := presence.customer_of(talk.pk)]) == {who: False}

    async_to_sync(run)()


def test_of_another_agent_the_page_shows_theirs(ana: Client, desk: Client, talk: Conversation, kim: User) -> None:
    tom = agent_named("tom", first_name="Tom")

    async def run() -> None:
        async with page_of(ana, talk) as page, inbox_of(desk) as inbox:
            await inbox.send({"type": "active"})
            await until(page, agent="Kim", is_here=True)
            await sync_to_async(actions.hand_back)(talk.pk, kim)
            await until(page, type="state", state="bot", is_here=None)
            await sync_to_async(actions.assign)(talk.pk, tom)
            assert (await until(page, type="state", state="person"))["is_here"] is False

    async_to_sync(run)()


def test_without_redis_nobody_is_said_to_be_there_or_away(
    ana: Client, desk: Client, talk: Conversation, redis_down: None
) -> None:
    async def run() -> None:
        async with page_of(ana, talk) as page, inbox_of(desk) as inbox:
            await inbox.send({"type": "active"})
            assert (await until(page, type="state"))["is_here"] is None
            await inbox.send({"type": "open", "conversation_id": talk.pk})
            assert (await until(inbox, type="presence"))["is_here"] is None

    async_to_sync(run)()


def test_an_agent_sees_who_types(ana: Client, desk: Client, talk: Conversation, kim: User) -> None:
    boss = User.objects.create_superuser("boss")
    other = Client()
    other.force_login(boss)

    async def run() -> None:
        async with page_of(ana, talk) as page, inbox_of(desk) as inbox, inbox_of(other) as looking:
            await until(page, type="state")
            for socket in (inbox, looking):
                await socket.send({"type": "open", "conversation_id": talk.pk})
                await until(socket, type="presence")
            await asyncio.sleep(0.3)  # the groups are joined
            await inbox.send({"type": "typing"})
            assert (await until(looking, type="typing"))["author"] == "Kim"
            await page.send({"type": "typing"})
            for socket in (inbox, looking):
                assert (await until(socket, type="typing"))["author"] is None

    async_to_sync(run)()
