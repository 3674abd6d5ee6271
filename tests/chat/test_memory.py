"""A worker that runs for years: what an event or a chat needed is given back when it is done."""

import asyncio
import gc
import itertools
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import reset_queries
from django.test import Client
from httpx import ASGITransport, AsyncClient

from chat.engine.answering import answer
from chat.providers.clients import _clients as model_clients
from chat.turns.turn import Question
from common import redis
from common.per_loop import PerLoop
from events.event import AxiomEvent
from events.models import Event
from events.outbox import new_event
from events.processing import process
from fabra_project.asgi import application, websocket
from features.declaration import entity, feature
from retrieval.search.history import remembered_vector
from tests.model_server import ModelServer
from tests.sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)  # else what is to run on commit would be kept


SCALE = int(os.environ.get("FABRA_TEST_MEMORY_SCALE", "1"))
"""With 4, some 2,000 events and 500 chats, which takes minutes: `FABRA_TEST_MEMORY_SCALE=4 make test`."""


def growth(work: Callable[[int], Any], rounds: int, blocks: int = 4) -> tuple[float, float]:
    """Return by how many objects, and blocks of memory, a round grows in the block of rounds that left the fewest.

    A leak grows in every block; what is made once, such as a pool of connections, in one of them. Objects are those
    that may refer to others; a text is none of them, but takes memory.
    """
    rounds, counts = rounds * SCALE, []
    for block in range(blocks + 1):
        for number in range(rounds):
            work(block * rounds + number)
        gc.collect()
        counts.append((len(gc.get_objects()), sys.getallocatedblocks()))
    grown = [
        (objects - objects_before, memory - memory_before)
        for (objects_before, memory_before), (objects, memory) in itertools.pairwise(counts)
    ]
    return min(objects for objects, _ in grown) / rounds, min(memory for _, memory in grown) / rounds


@pytest.mark.parametrize("leaked", [[], "text {}", None], ids=["an object", "a text", "nothing"])
def test_one_leak_in_five_rounds_is_noticed(leaked: Any) -> None:
    kept = []

    def work(number: int) -> None:
        if number % 5 == 0 and leaked is not None:
            kept.append(leaked.format(number) if isinstance(leaked, str) else [number])

    objects, memory = growth(work, 2000)
    assert (objects > 0.1, memory > 0.1) == (leaked == [], leaked is not None)


def test_an_event_leaves_nothing_behind() -> None:
    @entity()
    class Visitor:
        visitor_id: str

    @feature(entity=Visitor, trigger="visited")
    def visits(visitor_id: str, event: AxiomEvent) -> int:
        return int(event.payload["number"])

    def work(number: int) -> None:
        event = AxiomEvent(event_type="visited", entity_id="a", payload={"number": number})
        row = new_event(event, Event.Source.API)
        row.save()
        process(row.pk)

    objects, memory = growth(work, 100)
    assert objects < 0.1 and memory < 1
    assert len(redis._per_loop) <= 1


def test_a_chat_leaves_nothing_behind(bot: None, model: ModelServer, client: Client) -> None:
    cookies = page_cookies(client)

    def work(number: int) -> None:
        question = f"How do I reset password {number}?"
        # Each in a loop of its own, which a web process has once.
        if number % 3 == 0:
            async_to_sync(answer)(Question(user_id=f"user_{number}", message=question))
        elif number % 3 == 1:
            assert b"event: done" in async_to_sync(over_http)(f"user_{number}", question)
        else:
            assert async_to_sync(over_socket)(cookies, f"user_{number}", question)["type"] == "done"
        model.requests.clear()
        remembered_vector.cache_clear()  # it keeps the last 2,048 questions
        reset_queries()  # with DEBUG, which `bot` sets, Django keeps the last 9,000

    objects, _ = growth(work, 27)
    assert objects < 0.3, "what every third chat leaves, by any way, is 0.33"
    assert len(model_clients) <= 1


def page_cookies(client: Client) -> bytes:
    client.get("/")
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items()).encode()


async def over_http(user_id: str, message: str) -> bytes:
    async with AsyncClient(transport=ASGITransport(application), base_url="https://testserver") as client:
        body = {"user_id": user_id, "message": message, "stream": True}
        return (await client.post("/chat", json=body)).content


async def over_socket(cookies: bytes, user_id: str, message: str) -> dict[str, Any]:
    headers = [(b"host", b"testserver"), (b"origin", b"http://testserver"), (b"cookie", cookies)]
    socket = Socket(websocket, "/ws/chat", headers=headers, client=("127.0.0.1", 1))
    assert await socket.connect()
    await socket.send({"message": message, "user_id": user_id})
    while True:
        output = await socket.receive_output()
        said: dict[str, Any] = json.loads(output["text"]) if "text" in output else output
        if said["type"] in ("done", "error", "websocket.close"):
            await socket.disconnect()
            return said


def test_a_loop_that_is_closed_without_its_generators_is_forgotten_by_the_next() -> None:
    async def close(client: object) -> None:
        pass

    clients = PerLoop(object, close)
    for _ in range(10):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(clients.get())
        loop.close()
    assert len(clients) == 1
    async_to_sync(clients.get)()
    assert len(clients) == 0
