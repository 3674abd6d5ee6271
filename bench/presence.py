"""How soon two hundred open pages see that a person types, comes and is there, in one web process.

The floor is Redis' own: what is published until a subscriber has it. What the pages cost Redis while nothing happens
is counted too, since each command of theirs would be one for each open page.
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
from common.redis import async_redis, plain_redis

PAGES, QUICK_PAGES = 200, 50
ROUNDS = 5
_PATIENCE_S = 30
_WATCHED_S = 20


async def measure(*, is_quick: bool) -> list[Row]:
    count = QUICK_PAGES if is_quick else PAGES
    names = [visitors.new_visitor() for _ in range(count)]
    session, ids = await sync_to_async(_prepare)(names)
    with ExitStack() as stack:
        say(f"Starting one web process and opening {count} pages ...")
        url = stack.enter_context(
            uvicorn("fabra_project.asgi:application", processes=1, FABRA_WEB="1", FABRA_CHAT_PUBLIC="1")
        )
        took = await _measured(url, session, names, ids)
    floor = Spread.of(await _published(count))
    goal = Limit(p50=200, p95=200)
    return [Row(what=f"presence: {what}", ours=Spread.of(ours), floor=floor, goal=goal) for what, ours in took.items()]


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


async def _measured(url: str, session: str, names: list[str], ids: list[int]) -> dict[str, list[float]]:
    """Return the milliseconds from what the agent does until each page has been told."""
    signer = signing.TimestampSigner(salt=visitors.SALT)
    async with AsyncExitStack() as stack:

        async def page_of(name: str, conversation_id: int) -> Any:
            page = await stack.enter_async_context(_socket(url, "ws/chat", f"{visitors.COOKIE}={signer.sign(name)}"))
            await page.send(json.dumps({"type": "open", "conversation_id": conversation_id, "after": 0}))
            await _hear(page, type="state")  # from now on it is told what is new
            return page

        pages = [await page_of(name, conversation_id) for name, conversation_id in zip(names, ids, strict=True)]
        agent = await stack.enter_async_context(_socket(url, "ws/inbox", f"{settings.SESSION_COOKIE_NAME}={session}"))
        reading = asyncio.ensure_future(_read(agent))  # a socket that nobody reads is closed by the server
        stack.callback(reading.cancel)
        took = {f"the agent comes, {len(pages)} pages": await _told(agent, pages, "active", is_here=True)}
        say(f"Redis gets {await _commands_per_s():.1f} commands a second while {len(pages)} pages are open.")
        typed: list[float] = []
        for conversation_id, page in list(zip(ids, pages, strict=True)) * ROUNDS:
            await _open(agent, conversation_id)
            typed += await _told(agent, [page], "typing", type="typing")
        took[f"typing, {len(pages)} conversations"] = typed
        alike = [await page_of(names[0], ids[0]) for _ in range(len(pages) - 1)] + pages[:1]
        await _open(agent, ids[0])
        shared: list[float] = []
        for _ in range(ROUNDS):
            shared += await _told(agent, alike, "typing", type="typing")
        took[f"typing, {len(pages)} pages of one"] = shared
        return took


async def _read(socket: Any) -> None:
    async for _ in socket:
        pass


async def _open(agent: Any, conversation_id: int) -> None:
    await agent.send(json.dumps({"type": "open", "conversation_id": conversation_id}))
    await asyncio.sleep(0.02)


async def _told(agent: Any, pages: list[Any], kind: str, **wanted: Any) -> list[float]:
    """Return the milliseconds from a frame of the agent until each page got what it waits for."""
    heard = [asyncio.ensure_future(_hear(page, **wanted)) for page in pages]
    await asyncio.sleep(0)  # they wait for it
    started = time.perf_counter()
    await agent.send(json.dumps({"type": kind}))
    ends = await asyncio.wait_for(asyncio.gather(*heard), _PATIENCE_S)
    return [(end - started) * 1000 for end in ends]


def _watched() -> float:
    with plain_redis().monitor() as monitor:
        ours, until = 0, time.monotonic() + _WATCHED_S
        while time.monotonic() < until:
            command = monitor.next_command()
            is_ours = f"{settings.FABRA_REDIS_PREFIX}:presence:" in command["command"]
            ours += is_ours and command["client_type"] != "lua"
    return ours / _WATCHED_S


async def _commands_per_s() -> float:
    """Return how many commands Redis gets for the presence of people; several come in one round trip."""
    client = await async_redis()
    watching = asyncio.ensure_future(asyncio.to_thread(_watched))
    while not watching.done():
        await asyncio.sleep(0.2)
        await client.ping()  # the monitor waits for the next command, whosever it is
    return watching.result()


def _socket(url: str, path: str, cookie: str) -> Any:
    return websockets.connect(
        f"{url.replace('http', 'ws')}/{path}",
        origin=url,  # type: ignore[arg-type]
        additional_headers={"Cookie": cookie},
        ping_interval=None,
    )


async def _hear(page: Any, **wanted: Any) -> float:
    """Return when the page got a frame with these values."""
    while not wanted.items() <= json.loads(await page.recv()).items():
        pass
    return time.perf_counter()


async def _published(count: int) -> list[float]:
    client = await async_redis()
    took: list[float] = []
    async with client.pubsub() as subscriber:
        await subscriber.subscribe("bench-presence")
        await subscriber.get_message(timeout=5)
        for _ in range(count):
            started = time.perf_counter()
            await client.publish("bench-presence", b"typing")
            while not await subscriber.get_message(ignore_subscribe_messages=True, timeout=5):
                pass
            took.append((time.perf_counter() - started) * 1000)
    return took
