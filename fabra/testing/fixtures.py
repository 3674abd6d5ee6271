"""The fixtures of `fabra.testing`.

What they give can be called in an asynchronous test as well, and is awaited there: `await assemble(...)`.
"""

import asyncio
import functools
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings as django_settings
from django.db import connections
from django.test import Client
from django.urls import reverse

from common.redis import REDIS_ERRORS, plain_redis
from contexts.items import Context
from contexts.store import FeatureStore
from events import processing
from events.models import Event
from fabra.testing.model import ToldModel
from features import registry
from retrieval.indexing.documents import index_document
from retrieval.model_sources.declaration import model_sources
from retrieval.model_sources.sync import sync
from retrieval.search.audience import audiences_of_user, searching_for
from retrieval.search.execute import search_sync
from retrieval.search.hits import Hit
from retrieval.sync_definitions import sync_model_sources

_MAX_ROUNDS = 10


def _either_way(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does its work at once, or returns an awaitable where a loop is running."""
    is_async = asyncio.iscoroutinefunction(function)

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return (async_to_sync(function) if is_async else function)(*args, **options)
        return awaited(*args, **options)

    async def awaited(*args: Any, **options: Any) -> Any:
        try:
            return await (function if is_async else sync_to_async(function))(*args, **options)
        finally:  # the connection of the thread that the queries ran in, which no test's end would close
            await sync_to_async(connections.close_all)()

    return call


def _at(moment: datetime | None) -> AbstractContextManager[Any]:
    """Have the code read this moment from its clocks; PostgreSQL and Redis have their own."""
    if moment is None:
        return nullcontext()
    if moment.tzinfo is None:
        raise ValueError("`at` needs a time zone, as in datetime(2030, 1, 1, tzinfo=UTC).")
    try:
        import time_machine
    except ImportError:
        raise RuntimeError("A moment needs the package time-machine: pip install time-machine") from None
    return time_machine.travel(moment)


@pytest.fixture(autouse=True)
def own_redis_keys(settings: Any) -> Iterator[None]:
    """Keep the keys of a test apart from a bot's, and remove them."""
    settings.FABRA_REDIS_PREFIX = prefix = f"test:{uuid.uuid4().hex}"
    settings.CACHES = {"default": django_settings.CACHES["default"] | {"KEY_PREFIX": f"{prefix}:cache"}}
    settings.SECURE_SSL_REDIRECT = False
    yield
    try:
        client = plain_redis(settings.FABRA_REDIS_TIMEOUT_S)
        for key in client.scan_iter(f"{prefix}:*", count=1000):
            client.delete(key)
    except REDIS_ERRORS:
        pass  # they expire


@pytest.fixture(autouse=True)
def words_embedder(settings: Any) -> None:
    """Have texts embedded by a hash of their words, which takes no time: it finds words, and knows no synonyms."""
    settings.FABRA_EMBEDDER = "retrieval.embedders.hashing.HashingEmbedder"
    settings.FABRA_EMBEDDING_MODEL = "hashing-256"


@pytest.fixture
def index_documents(db: None) -> Callable[..., None]:
    """Return a function that indexes documents: `index_documents("docs", {"pay": "Pay by card."})`.

    A value is the text, or a dict of arguments of `store.index`, such as `text`, `title`, `metadata` and `audience`. It
    raises as that does.
    """

    def index(index_name: str, documents: Mapping[str, str | Mapping[str, Any]]) -> None:
        for entity_id, given in documents.items():
            fields: dict[str, Any] = {"text": given} if isinstance(given, str) else dict(given)
            index_document(index_name, entity_id, **fields)

    return _either_way(index)


@pytest.fixture
def sync_models(db: None) -> Callable[..., None]:
    """Return a function that compares model sources with their documents, as `manage.py sync_models` does.

    It takes names of sources, such as "shop.article in help", and compares all of the project without one.
    """

    def run(*names: str) -> None:
        sync_model_sources()
        for name in names or model_sources:
            assert sync(model_sources.require(name))

    return _either_way(run)


@pytest.fixture
def process_events(db: None) -> Callable[[], None]:
    """Return a function that processes the events that are due, and those that they publish, as a worker does.

    It goes at most ten rounds. What a handler raises is on the event, as in a worker, and not raised here.
    """

    def run() -> None:
        sync_model_sources()
        for _ in range(_MAX_ROUNDS):  # an event may publish others
            waiting = list(Event.objects.due().order_by("pk").values_list("pk", flat=True))
            if not waiting:
                return
            for pk in waiting:
                processing.process(pk)

    return _either_way(run)


@pytest.fixture
def set_features(db: None) -> Callable[..., None]:
    """Return a function that gives features of an entity their values: `set_features("ana", plan="gold")`.

    `at` is an aware datetime, since when they are true (default: now). The function raises NotFound for an undeclared
    feature before it writes any, and InvalidFeatureValue for a value of another type.
    """

    async def set_values(entity_key: str, *, at: datetime | None = None, **values: Any) -> None:
        for name in values:
            registry.features.require(name)
        for name, value in values.items():
            await FeatureStore().set_feature(name, entity_key, value, event_timestamp=at)

    return _either_way(set_values)


@pytest.fixture
def search(db: None) -> Callable[..., list[Hit]]:
    """Return a function that searches an index and gives the hits: `search("docs", "card", top_k=3)`.

    It takes the options of `store.search`, and raises as that does.
    """

    def find(index_name: str, query: str, top_k: int = 5, **options: Any) -> list[Hit]:
        return search_sync(index_name, query, top_k, **options).hits

    return _either_way(find)


@pytest.fixture
def assemble(db: None) -> Callable[..., Context]:
    """Return a function that calls a context for a user, as a chat does: its searches find what their groups may read.

    `assemble(chat_context, "ana", "How do I pay?")` gives the assembled Context, or raises what the context does.
    `audience` are other names, in place of those of the user. `at` is the moment that the code takes for now, an aware
    datetime, such as one when a value is out of date; it needs time-machine.
    """

    async def call(
        context: Callable[..., Any],
        user_id: str,
        query: str,
        *,
        audience: Sequence[str] | None = None,
        at: datetime | None = None,
    ) -> Context:
        with searching_for(lambda: audiences_of_user(user_id) if audience is None else audience), _at(at):
            return await context(user_id, query)

    return _either_way(call)


@pytest.fixture
def model_says(settings: Any) -> Iterator[Callable[[str], ToldModel]]:
    """Return a function that has the language model answer a text from now on: `model = model_says("Yes.")`.

    `model.requests` are the bodies of the requests that it got, as OpenAI's API has them, the oldest first.
    """
    model = ToldModel()
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "test-key", model.url

    def say(text: str) -> ToldModel:
        model.text = text
        return model

    yield say
    model.close()


@pytest.fixture
def ask(db: None, settings: Any) -> Callable[..., dict[str, Any]]:
    """Return a function that posts a message to /chat and gives the answer's body: `ask("How do I pay?", "ana")`.

    Further arguments are fields of the request, such as `conversation_id`. Another status than 200 fails the test.
    """
    settings.DEBUG = True  # requests from this machine need no key

    def post(message: str, user_id: str = "user", **fields: Any) -> dict[str, Any]:
        body = {"user_id": user_id, "message": message, **fields}
        response = Client().post(reverse("chat:chat"), body, content_type="application/json")
        assert response.status_code == 200, response.content.decode()
        return response.json()

    return _either_way(post)
