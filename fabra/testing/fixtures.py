"""The fixtures of `fabra.testing`."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
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
from retrieval.search.audience import searching_for
from retrieval.search.execute import search_sync
from retrieval.search.hits import Hit
from retrieval.sync_definitions import sync_model_sources

_MAX_ROUNDS = 10


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
    """Return a function that indexes texts by their ids; an entry may also be a dict of `text`, `title` and so on."""

    def index(index_name: str, documents: Mapping[str, str | Mapping[str, Any]]) -> None:
        for entity_id, given in documents.items():
            fields: dict[str, Any] = {"text": given} if isinstance(given, str) else dict(given)
            index_document(index_name, entity_id, **fields)

    return index


@pytest.fixture
def sync_models(db: None) -> Callable[[], None]:
    """Return a function that makes documents of the objects of all model sources."""

    def run() -> None:
        sync_model_sources()
        for source in model_sources.values():
            assert sync(source)

    return run


@pytest.fixture
def process_events(db: None) -> Callable[[], None]:
    """Return a function that processes the events that wait, as a worker does."""

    def run() -> None:
        sync_model_sources()
        for _ in range(_MAX_ROUNDS):  # an event may publish others
            waiting = list(Event.objects.due().order_by("pk").values_list("pk", flat=True))
            if not waiting:
                return
            for pk in waiting:
                processing.process(pk)

    return run


@pytest.fixture
def set_features(db: None) -> Callable[..., None]:
    """Return a function that gives features of an entity their values: `set_features("ana", plan="gold")`."""

    def set_values(entity_key: str, **values: Any) -> None:
        for name, value in values.items():
            registry.features.require(name)
            async_to_sync(FeatureStore().set_feature)(name, entity_key, value)

    return set_values


@pytest.fixture
def search(db: None) -> Callable[..., list[Hit]]:
    """Return a function that searches an index, with the options of `store.search`."""

    def find(index_name: str, query: str, top_k: int = 5, **options: Any) -> list[Hit]:
        return search_sync(index_name, query, top_k, **options).hits

    return find


@pytest.fixture
def assemble(db: None) -> Callable[..., Context]:
    """Return a function that calls a context for a user, as a chat does; `audience` is who they are for searches."""

    def call(context: Callable[..., Any], user_id: str, query: str, *, audience: Sequence[str] = ()) -> Context:
        with searching_for(lambda: audience):
            return async_to_sync(context)(user_id, query)

    return call


@pytest.fixture
def model_says(settings: Any) -> Iterator[Callable[[str], ToldModel]]:
    """Return a function that has the language model answer a text; its result has the `requests` that it got."""
    model = ToldModel()
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "test-key", model.url

    def say(text: str) -> ToldModel:
        model.text = text
        return model

    yield say
    model.close()


@pytest.fixture
def ask(db: None, settings: Any) -> Callable[..., dict[str, Any]]:
    """Return a function that posts a message to /chat, and gives the answer's body."""
    settings.DEBUG = True  # requests from this machine need no key

    def post(message: str, user_id: str = "user", **fields: Any) -> dict[str, Any]:
        body = {"user_id": user_id, "message": message, **fields}
        response = Client().post(reverse("chat:chat"), body, content_type="application/json")
        assert response.status_code == 200, response.content.decode()
        return response.json()

    return post
