"""What open pages see of each other and of people: at once by Redis, late without it, and nothing twice or never."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psutil
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from chat.handover import actions
from chat.live import feed as feeds
from chat.live.broadcast import broadcast
from chat.live.groups import INBOX, conversation_group
from chat.models import Conversation, Message
from chat.page import live_page
from chat.page.live_page import LivePage
from chat.page.standing import SIGNED_OUT
from common.redis import plain_redis
from tests.chat.test_handover import agent_named
from tests.chat.test_socket import connect
from tests.model_server import ModelServer
from tests.sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def small(small: ModelServer, settings: Any) -> ModelServer:
    """In production mode, with a public page."""
    settings.DEBUG = False
    return small


@pytest.fixture
def ana(small: ModelServer, client: Client) -> Client:
    client.force_login(User.objects.create_user("ana"))
    return client


@pytest.fixture
def kim(transactional_db: Any) -> User:
    return agent_named("kim", first_name="Kim")


@pytest.fixture
def talk(transactional_db: Any) -> Conversation:
    conversation = Conversation.objects.create(user_id="ana", title="One?")
    for role in ("user", "assistant"):
        Message.objects.create(conversation=conversation, user_id="ana", role=role, text=f"by {role}")
    return conversation


@asynccontextmanager
async def page_of(browser: Client) -> AsyncIterator[Socket]:
    socket = connect(browser)
    assert await socket.connect()
    yield socket
    await socket.disconnect()


async def said(socket: Socket, kind: str) -> dict[str, Any]:
    """Return the next frame, which is of this kind."""
    frame: dict[str, Any] = json.loads((await socket.receive_output())["text"])
    assert frame["type"] == kind, frame
    return frame


async def until(socket: Socket, kind: str) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] != kind:
        frames.append(json.loads((await socket.receive_output())["text"]))
    return frames


async def opened(socket: Socket, conversation: int, after: int = 0) -> list[dict[str, Any]]:
    """Open a conversation, and return what the page had missed."""
    await socket.send({"type": "open", "conversation_id": conversation, "after": after})
    return await until(socket, "state")


async def quiet(*sockets: Socket) -> None:
    for socket in sockets:
        assert await socket.receive_nothing(timeout=0.3)


async def do(function: Callable[..., Any], *args: Any, **more: Any) -> Any:
    return await sync_to_async(function)(*args, **more)


def test_opening_sends_what_was_missed_and_then_what_is_new(ana: Client, talk: Conversation, kim: User) -> None:
    first = talk.messages.earliest("pk")

    async def run() -> None:
        async with page_of(ana) as page:
            missed = await opened(page, talk.pk, after=first.pk)
            assert [frame["message"]["role"] for frame in missed[:-1]] == ["assistant"]
            assert missed[0]["message"]["html"] == "<p>by assistant</p>\n"
            assert missed[-1] == {
                "type": "state", "conversation_id": talk.pk, "state": "bot", "agent": None, "is_here": None,
            }  # fmt: skip
            await do(actions.assign, talk.pk, kim)
            frames = [json.loads((await page.receive_output())["text"]) for _ in range(2)]
            by_type = {frame["type"]: frame for frame in frames}
            assert (by_type["state"]["state"], by_type["state"]["agent"]) == ("person", "Kim")
            assert by_type["message"]["message"]["role"] == "notice"
            await do(actions.send_as_agent, talk.pk, kim, "It is **here**.")
            message = (await said(page, "message"))["message"]
            assert (message["role"], message["author"], message["html"]) == (
                "agent", "Kim", "<p>It is <strong>here</strong>.</p>\n",
            )  # fmt: skip
            await quiet(page)

    async_to_sync(run)()


def test_two_tabs_see_each_other_and_each_its_own_once(ana: Client, small: ModelServer) -> None:
    async def run() -> None:
        async with page_of(ana) as one, page_of(ana) as two:
            await one.send({"message": "One?", "client_id": str(uuid.uuid4())})
            done = (await until(one, "done"))[-1]
            assert [frame["message"]["role"] for frame in (await opened(two, done["conversation_id"]))[:-1]] == [
                "user", "assistant",
            ]  # fmt: skip
            name = str(uuid.uuid4())
            await two.send({"message": "Two?", "client_id": name, "conversation_id": done["conversation_id"]})
            frames = await until(two, "done")
            assert {frame["type"] for frame in frames} == {"start", "delta", "done"}
            asked, answered = [(await until(one, "message"))[-1] for _ in range(2)]  # the state may come too
            assert (asked["message"]["client_id"], asked["message"]["id"]) == (name, frames[0]["question_id"])
            assert answered["message"]["id"] == frames[-1]["message_id"]
            await quiet(one, two)

    async_to_sync(run)()


def test_only_ones_own_conversation_opens(ana: Client, talk: Conversation) -> None:
    other = Conversation.objects.create(user_id="ben")

    async def run() -> None:
        async with page_of(ana) as page:
            for unknown in (other.pk, other.pk + 1):
                await page.send({"type": "open", "conversation_id": unknown})
                assert (await said(page, "error"))["code"] == "conversation_not_found"
            for odd in ("1", None, -1, 2**63, True, [1]):
                await page.send({"type": "open", "conversation_id": odd})
                assert (await said(page, "error"))["code"] == "invalid_message"
            await page.send({"type": "escalate"})
            assert (await said(page, "error"))["code"] == "conversation_not_found"
            await broadcast(conversation_group(other.pk), {"type": "typing", "conversation_id": other.pk})
            await quiet(page)

    async_to_sync(run)()
    assert Conversation.objects.get(pk=other.pk).state == "bot"


def test_after_a_sign_out_nothing_more_is_sent(ana: Client, talk: Conversation, kim: User) -> None:
    actions.assign(talk.pk, kim)

    async def run() -> None:
        page = connect(ana)
        await page.connect()
        await opened(page, talk.pk)
        await do(ana.post, "/logout/")
        await do(actions.send_as_agent, talk.pk, kim, "A secret.")
        output = await page.receive_output()
        assert (output["type"], output["code"]) == ("websocket.close", SIGNED_OUT)

    async_to_sync(run)()


def test_typing_goes_both_ways_and_not_back(
    ana: Client, talk: Conversation, kim: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "_EVERY_S", 60.0)  # longer than five frames take on any machine

    async def run() -> None:
        async with page_of(ana) as one, page_of(ana) as two:
            for page in (one, two):
                await opened(page, talk.pk)
            await one.send({"type": "typing"})  # nobody is there to see it
            await quiet(one, two)
            await do(actions.assign, talk.pk, kim)
            for page in (one, two):
                await until(page, "state")
            for _ in range(5):
                await two.send({"type": "typing"})
            frames = await until(one, "typing")
            assert frames[-1] == {"type": "typing", "conversation_id": talk.pk, "author": None}
            await quiet(one)
            await broadcast(
                conversation_group(talk.pk), {"type": "typing", "conversation_id": talk.pk, "author": "Kim"}
            )
            assert (await until(two, "typing"))[-1]["author"] == "Kim"
            await quiet(two)

    async_to_sync(run)()


def test_the_button_on_the_page_asks_for_a_person(ana: Client, talk: Conversation) -> None:
    async def run() -> None:
        async with page_of(ana) as page:
            await opened(page, talk.pk)
            for _ in range(3):
                await page.send({"type": "escalate"})
            kinds = sorted([json.loads((await page.receive_output())["text"])["type"] for _ in range(2)])
            assert kinds == ["message", "state"]
            await quiet(page)

    async_to_sync(run)()
    assert Conversation.objects.get(pk=talk.pk).state == "waiting"


def test_a_person_who_takes_over_during_an_answer_ends_its_stream(ana: Client, small: ModelServer, kim: User) -> None:
    small.delay_s = 10.0

    async def run() -> None:
        async with page_of(ana) as page:
            await page.send({"message": "One?"})
            start = (await until(page, "start"))[-1]
            await do(actions.assign, start["conversation_id"], kim)
            small.delay_s = 0.0
            stopped = (await until(page, "stopped"))[-1]
            assert (stopped["state"], stopped["response"]) == ("person", "")
            await page.send({"message": "Are you there?", "conversation_id": start["conversation_id"]})
            done = (await until(page, "done"))[-1]
            assert (done["state"], done["response"]) == ("person", "")
            await do(actions.send_as_agent, start["conversation_id"], kim, "Yes.")
            texts: list[str] = []
            while texts[-1:] != ["Yes."]:  # that Kim has joined may be told behind the end of the answer
                texts.append((await until(page, "message"))[-1]["message"]["text"])
            assert texts in (["Yes."], ["Kim has joined the conversation.", "Yes."])

    async_to_sync(run)()


def test_agents_hear_of_what_changes(talk: Conversation, kim: User) -> None:
    from chat.live.layer import live_layer

    async def run() -> None:
        layer = live_layer()
        name = await layer.new_channel()
        await layer.group_add(INBOX, name)
        await do(actions.escalate, talk.pk, "x")
        heard = await asyncio.wait_for(layer.receive(name), 60)
        assert heard == {"type": "inbox", "conversation_id": talk.pk, "state": "waiting", "agent": None}

    async_to_sync(run)()


def test_without_redis_pages_learn_late_and_nothing_is_lost_or_twice(
    ana: Client, talk: Conversation, kim: User, redis_down: None, settings: Any
) -> None:
    settings.FABRA_LIVE_LOOK_S = 0.2

    async def run() -> None:
        async with page_of(ana) as one, page_of(ana) as two:
            for page in (one, two):
                assert len(await opened(page, talk.pk)) == 3
            await do(actions.assign, talk.pk, kim)
            for number in range(3):
                await do(actions.send_as_agent, talk.pk, kim, f"Number {number}.")
            for page in (one, two):
                texts: list[str] = []
                while len(texts) < 4:
                    frame = json.loads((await page.receive_output())["text"])
                    texts += [frame["message"]["text"]] if frame["type"] == "message" else []
                assert texts[1:] == ["Number 0.", "Number 1.", "Number 2."]
            await one.send({"message": "And now?", "conversation_id": talk.pk})
            await until(one, "done")
            assert (await until(two, "message"))[-1]["message"]["text"] == "And now?"
            await asyncio.sleep(0.6)
            for page in (one, two):
                while not await page.receive_nothing(timeout=0.1):
                    frame = json.loads((await page.receive_output())["text"])
                    assert frame["type"] == "state", frame

    async_to_sync(run)()


def own_ports() -> set[int]:
    return {end.laddr.port for end in psutil.Process().net_connections("tcp")}


def test_what_redis_loses_is_found(ana: Client, talk: Conversation, kim: User, settings: Any) -> None:
    settings.FABRA_LIVE_LOOK_S = 0.3

    async def run() -> None:
        async with page_of(ana) as page:
            await opened(page, talk.pk)
            await do(actions.assign, talk.pk, kim)
            await until(page, "message")
            for client in await do(plain_redis().client_list, _type="pubsub"):
                # The connection is lost, and what is published meanwhile with it; those of other tests are left alone.
                if int(client["addr"].rpartition(":")[2]) in own_ports():
                    await do(plain_redis().client_kill_filter, _id=client["id"])
            lost = await do(
                Message.objects.create, conversation=talk, user_id="ana", role="agent", text="Lost?", author=kim
            )
            frames = await until(page, "message")
            assert frames[-1]["message"]["id"] == lost.pk
            await do(actions.send_as_agent, talk.pk, kim, "And live again.")
            assert (await until(page, "message"))[-1]["message"]["text"] == "And live again."
            await quiet(page)

    async_to_sync(run)()


def test_a_closed_page_is_forgotten(ana: Client, talk: Conversation) -> None:
    async def run() -> None:
        async with page_of(ana) as page:
            await opened(page, talk.pk)
            feed = await feeds.feed()
            assert feed._pages
        for _ in range(3000):
            if not feed._pages:
                break
            await asyncio.sleep(0.02)
        assert (feed._pages, feed._tasks, feed._channel) == ({}, [], None)

    async_to_sync(run)()


def test_a_new_conversation_after_a_closed_one_begins_with_a_line(ana: Client, talk: Conversation, kim: User) -> None:
    actions.close(talk.pk, kim)
    Conversation.objects.filter(pk=talk.pk).update(last_message_at=timezone.now() - timedelta(days=1))

    async def run() -> None:
        async with page_of(ana) as page:
            await page.send({"message": "Two?", "conversation_id": talk.pk})
            frames = await until(page, "done")
            assert frames[-1]["conversation_was_closed"] is True
            assert frames[0]["conversation_id"] != talk.pk
            seen = [frame for frame in frames if frame["type"] == "message"]
            seen += [] if seen else (await until(page, "message"))[-1:]
            assert "closed, so this is a new one" in seen[0]["message"]["text"]
            while not await page.receive_nothing(timeout=0.3):
                assert json.loads((await page.receive_output())["text"])["type"] == "state"

    async_to_sync(run)()


def test_a_page_that_closes_leaves_no_task_though_the_layer_loses_its_cancellation(
    talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Python 3.11's `wait_for` loses it where the Redis client has just sent."""
    begun = asyncio.Event()

    async def group_add(*args: Any) -> None:
        if begun.is_set():
            return
        begun.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return

    async def send(event: dict[str, Any]) -> None:
        pass

    async def run() -> None:
        page = LivePage(send)
        await page.open(talk.pk, "ana", 0, "default")
        await begun.wait()
        page.close()
        left = [task for task in asyncio.all_tasks() if task.get_coro().__qualname__.startswith(("LivePage.", "Feed."))]
        _, pending = await asyncio.wait(left, timeout=60)
        assert left and not pending

    monkeypatch.setattr("channels_redis.pubsub.RedisPubSubLoopLayer.group_add", group_add)
    async_to_sync(run)()
