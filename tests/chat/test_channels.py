"""Whoever listens to Redis has one channel, however often Redis refuses it, and leaves none behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from channels_redis.pubsub import RedisSingleShardConnection
from django.test import Client

from chat.engine import stopping
from chat.live.broadcast import broadcast
from chat.live.groups import ANSWERS, INBOX, PEOPLE, conversation_group
from chat.live.layer import live_layer
from chat.models import Conversation
from chat.page.live_page import LivePage
from chat.turns.running import Stopping
from tests.chat.test_handover import agent_named
from tests.chat.test_presence import inbox_of

pytestmark = pytest.mark.django_db(transaction=True)


class Outage:
    """While it `is_on`, Redis takes no subscription."""

    def __init__(self) -> None:
        self.is_on = True
        self.refused: list[str] = []


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Outage:
    outage, subscribe = Outage(), RedisSingleShardConnection.subscribe

    async def refused(shard: Any, channel: str) -> None:
        if outage.is_on:
            outage.refused.append(channel)
            raise redis.ConnectionError
        await subscribe(shard, channel)

    monkeypatch.setattr(RedisSingleShardConnection, "subscribe", refused)
    settings.FABRA_LIVE_LOOK_S = 0.05
    return outage


@pytest.fixture
def talk(transactional_db: Any) -> Conversation:
    return Conversation.objects.create(user_id="ana", title="One?")


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def heard(group: str, event: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    """Send the event until it is received, since nobody tells when the subscription is there."""
    received = asyncio.ensure_future(_received(event["type"], receive))
    async with asyncio.timeout(60):
        while not received.done():
            await broadcast(group, event)
            await asyncio.wait([received], timeout=0.1)
    await received


async def _received(kind: str, receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    while (await receive())["type"] != kind:
        pass


@asynccontextmanager
async def watched(outage: Outage) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Yield a function that lasts until the outage has ended after five refusals; nothing is left of the block."""
    layer = live_layer()
    assert (layer.channels, layer.groups) == ({}, {})

    async def sit_out() -> None:
        await until(lambda: len(outage.refused) >= 5)
        assert len(layer.channels) == 1
        outage.is_on = False

    yield sit_out
    await until(lambda: not layer.channels and not layer.groups)


def test_an_inbox_has_one_channel_and_hears_again(outage: Outage, talk: Conversation) -> None:
    kim = agent_named("kim")
    desk = Client()
    desk.force_login(kim)

    async def run() -> None:
        async with watched(outage) as sit_out, inbox_of(desk) as inbox:

            async def receive() -> dict[str, Any]:
                frame: dict[str, Any] = json.loads((await inbox.receive_output())["text"])
                return frame

            await inbox.send({"type": "open", "conversation_id": talk.pk})
            await sit_out()
            await heard(INBOX, {"type": "inbox", "conversation_id": talk.pk}, receive)
            await heard(conversation_group(talk.pk), {"type": "message", "conversation_id": talk.pk}, receive)

    async_to_sync(run)()


def test_an_inbox_that_is_closed_during_an_outage_leaves_nothing(outage: Outage, talk: Conversation) -> None:
    desk = Client()
    desk.force_login(agent_named("kim"))

    async def run() -> None:
        async with watched(outage), inbox_of(desk) as inbox:
            await inbox.send({"type": "open", "conversation_id": talk.pk})
            await until(lambda: len(outage.refused) >= 5)

    async_to_sync(run)()


def test_the_pages_of_a_process_have_one_channel_and_hear_again(outage: Outage, talk: Conversation) -> None:
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def run() -> None:
        async with watched(outage) as sit_out:
            pages = [LivePage(sent.put) for _ in range(3)]
            for page in pages:
                await page.open(talk.pk, "ana", 0, "default")
            await sit_out()
            typing = {"type": "typing", "conversation_id": talk.pk, "author": "Kim"}
            await heard(conversation_group(talk.pk), typing, sent.get)
            people = f"{live_layer().prefix}__group__{PEOPLE}"
            await until(lambda: people in live_layer().groups)
            for page in pages:
                page.close()

    async_to_sync(run)()


def test_a_process_that_answers_has_one_channel_and_can_be_stopped_again(outage: Outage, settings: Any) -> None:
    settings.FABRA_WEB = True

    async def run() -> None:
        async with watched(outage) as sit_out:
            answer = Stopping()
            answer.begin(7)
            stopping.listen()
            await sit_out()
            async with asyncio.timeout(60):
                while not answer.is_stopped:
                    await broadcast(ANSWERS, {"type": "stop", "conversation_id": 7})
                    await asyncio.sleep(0.05)
            answer.end()
            stopping._listeners[asyncio.get_running_loop()].cancel()

    async_to_sync(run)()
