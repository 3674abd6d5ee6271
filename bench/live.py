"""How soon two hundred open pages see that a person types, each in a conversation of its own, in one web process.

The floor is Redis' own: what is published until a subscriber has it.
"""

import asyncio
import json
import time
from contextlib import AsyncExitStack, ExitStack
from importlib import import_module
from typing import Any

import websockets
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.core import signing

from bench.figures import Limit, Row, Spread, say
from bench.servers import uvicorn
from chat.access import visitors
from chat.handover import actions
from chat.models import Conversation
from common.redis import async_redis

PAGES, QUICK_PAGES = 200, 50
ROUNDS = 5
_PATIENCE_S = 30


async def measure(*, is_quick: bool) -> list[Row]:
    count = QUICK_PAGES if is_quick else PAGES
    names = [visitors.new_visitor() for _ in range(count)]
    session, ids = await sync_to_async(_prepare)(names)
    with ExitStack() as stack:
        say(f"Starting one web process and opening {count} pages ...")
        url = stack.enter_context(
            uvicorn("fabra_project.asgi:application", processes=1, FABRA_WEB="1", FABRA_CHAT_PUBLIC="1")
        )
        ours = await _typing(url, session, names, ids)
    floor = await _published(len(ours))
    return [
        Row(
            what=f"live: typing on {count} pages",
            ours=Spread.of(ours), floor=Spread.of(floor), goal=Limit(p50=200, p95=200),
        )
    ]  # fmt: skip


def _prepare(names: list[str]) -> tuple[str, list[int]]:
    """Return the session of an agent who holds a conversation of each visitor's, and the conversations."""
    agent, _ = get_user_model().objects.get_or_create(
        username="bench", defaults={"is_staff": True, "is_superuser": True}
    )
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = str(agent.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
    store[HASH_SESSION_KEY] = agent.get_session_auth_hash()
    store.create()
    ids = [Conversation.objects.create(user_id=f"visitor:{name}").pk for name in names]
    for conversation_id in ids:
        actions.assign(conversation_id, agent)
    return store.session_key, ids


async def _typing(url: str, session: str, names: list[str], ids: list[int]) -> list[float]:
    """Return the milliseconds from each keystroke of the agent until the page has been told."""
    signer = signing.TimestampSigner(salt=visitors.SALT)
    async with AsyncExitStack() as stack:
        pages = {}
        for name, conversation_id in zip(names, ids, strict=True):
            page = await stack.enter_async_context(_socket(url, "ws/chat", f"{visitors.COOKIE}={signer.sign(name)}"))
            await page.send(json.dumps({"type": "open", "conversation_id": conversation_id, "after": 0}))
            await _hear(page, "state")  # from now on it is told what is new
            pages[conversation_id] = page
        agent = await stack.enter_async_context(_socket(url, "ws/inbox", f"{settings.SESSION_COOKIE_NAME}={session}"))
        took: list[float] = []
        for conversation_id in ids * ROUNDS:
            await agent.send(json.dumps({"type": "open", "conversation_id": conversation_id}))
            await asyncio.sleep(0.02)
            heard = asyncio.ensure_future(_hear(pages[conversation_id], "typing"))
            started = time.perf_counter()
            await agent.send(json.dumps({"type": "typing"}))
            await asyncio.wait_for(heard, _PATIENCE_S)
            took.append((time.perf_counter() - started) * 1000)
        return took


def _socket(url: str, path: str, cookie: str) -> Any:
    return websockets.connect(f"{url.replace('http', 'ws')}/{path}", origin=url, additional_headers={"Cookie": cookie})  # type: ignore[arg-type]


async def _hear(page: Any, kind: str) -> None:
    while json.loads(await page.recv())["type"] != kind:
        pass


async def _published(count: int) -> list[float]:
    client = await async_redis()
    took: list[float] = []
    async with client.pubsub() as subscriber:
        await subscriber.subscribe("bench-live")
        await subscriber.get_message(timeout=5)
        for _ in range(count):
            started = time.perf_counter()
            await client.publish("bench-live", b"typing")
            while not await subscriber.get_message(ignore_subscribe_messages=True, timeout=5):
                pass
            took.append((time.perf_counter() - started) * 1000)
    return took
