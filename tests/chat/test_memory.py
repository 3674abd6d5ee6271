"""A worker that runs for years: what an event or a chat needed is given back when it is done."""

import asyncio
import gc
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import reset_queries

from chat.providers.clients import _clients as model_clients
from chat.turns.engine import answer
from chat.turns.turn import Question
from common import redis
from common.per_loop import PerLoop
from events.event import AxiomEvent
from events.models import Event
from events.outbox import new_event
from events.processing import process
from features.declaration import entity, feature
from retrieval.search.history import remembered_vector
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db(transaction=True)  # else what is to run on commit would be kept


def growth(work: Callable[[int], Any], rounds: int, blocks: int = 4) -> int:
    """Return by how many objects the block of rounds that left the fewest behind has grown.

    A leak grows in every block; what is made once, such as a pool of connections, in one of them.
    """
    counts = []
    for block in range(blocks + 1):
        for number in range(rounds):
            work(block * rounds + number)
        gc.collect()
        counts.append(len(gc.get_objects()))
    return min(after - before for before, after in itertools.pairwise(counts))


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

    assert growth(work, 100) < 100
    assert len(redis._per_loop) <= 1


def test_a_chat_leaves_nothing_behind(bot: None, model: ModelServer) -> None:
    def work(number: int) -> None:
        question = Question(user_id=f"user_{number}", message=f"How do I reset password {number}?")
        async_to_sync(answer)(question)  # each in a loop of its own, which a web process has once
        model.requests.clear()
        remembered_vector.cache_clear()  # it keeps the last 2,048 questions
        reset_queries()  # with DEBUG, which `bot` sets, Django keeps the last 9,000

    assert growth(work, 25) < 25
    assert len(model_clients) <= 1


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
