import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from chat.turns.resolve_context import configured_context
from contexts.declaration import context
from contexts.items import ContextItem
from retrieval.indexing.documents import index_document
from tests.chat import another_context as another_module
from tests.chat import chosen_context
from tests.factories import CustomerFactory, TicketFactory
from tests.model_server import ModelServer

PASSWORD = "# Reset your password\n\nClick **Forgot password?** on the sign-in page. The link is valid for an hour."
BILLING = "# Billing\n\nInvoices are sent on the first of each month."


@pytest.fixture
def bot(db: Any, settings: Any) -> None:
    """Two articles, a premium user with two tickets, and development on loopback."""
    settings.DEBUG = True
    fill()


def fill() -> None:
    index_document("knowledge_base", "reset-your-password", PASSWORD)
    index_document("knowledge_base", "billing", BILLING)
    ana = CustomerFactory.create(user_id="user_123")
    CustomerFactory.create(user_id="user_456", name="Ben", tier="free")
    for number in (101, 102):
        TicketFactory.create(customer=ana, number=number)


@pytest.fixture
def model(settings: Any) -> Iterator[ModelServer]:
    """A model server that the bot is configured for."""
    server = ModelServer()
    settings.OPENAI_API_KEY = "test-key"
    settings.OPENAI_BASE_URL = server.url
    settings.FABRA_MODEL_RETRIES = 1
    yield server
    server.close()


@pytest.fixture
def use_context(settings: Any) -> Iterator[Callable[[Any], None]]:
    """Return a function that has /chat call this context."""
    settings.FABRA_DEFINITIONS, settings.FABRA_CHAT_CONTEXT = [chosen_context.__name__], "chosen_context"
    configured_context.cache_clear()
    yield lambda given: chosen_context.chosen.update(context=given)
    configured_context.cache_clear()


@pytest.fixture
def another_context() -> str:
    """Declare a context beside that of the settings, and return its name."""
    importlib.reload(another_module)
    return "another"


@pytest.fixture
def ask(client: Client) -> Any:
    """Return a function that posts a message to /chat."""

    def ask(message: Any = "How do I reset my password?", user_id: Any = "user_123", **more: Any) -> Any:
        return client.post("/chat", {"user_id": user_id, "message": message, **more}, content_type="application/json")

    return ask


@pytest.fixture
def small(settings: Any, transactional_db: Any, model: ModelServer, use_context: Callable[[Any], None]) -> ModelServer:
    """A context of one line, and a model that may take its time."""

    @context(name="small", max_tokens=1000)
    async def small(user_id: str, query: str) -> list[ContextItem]:
        return [ContextItem("Be kind.", required=True)]

    use_context(small)
    settings.DEBUG, settings.FABRA_MODEL_RETRIES = True, 0
    return model


@pytest.fixture
def streamed(client: Client) -> Callable[[], list[tuple[str, dict[str, Any]]]]:
    """Return a function that asks, and gives the events of the stream."""

    def ask() -> list[tuple[str, dict[str, Any]]]:
        body = {"user_id": "user_123", "message": "How do I reset my password?", "stream": True}
        response: Any = client.post("/chat", body, content_type="application/json")

        async def read() -> bytes:
            return b"".join([part async for part in response])

        events = async_to_sync(read)().decode().strip().split("\n\n")
        return [(name[7:], json.loads(data[6:])) for name, data in (event.split("\n", 1) for event in events)]

    return ask
