"""Which models there are: the declared and enabled contexts that a key may use, by their names."""

import importlib
from typing import Any

import pytest
from django.test import Client

from chat.bots import known
from chat.models import DEFAULT_BOT, ApiKey, Bot, Conversation
from contexts.models import ContextDefinition
from contexts.registry import contexts, operator_settings
from tests.chat import another_context as module
from tests.chat.openai_api.conftest import error_of

pytestmark = pytest.mark.django_db


def ids(client: Client, key: str = "") -> list[str]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = client.get("/v1/models", headers=headers).json()
    assert body["object"] == "list" and all(model["object"] == "model" for model in body["data"])
    return [model["id"] for model in body["data"]]


def disable(name: str) -> None:
    ContextDefinition.objects.filter(name=name).update(is_enabled=False)
    operator_settings.clear()


def test_the_installations_default_comes_first(bot: None, client: Client, settings: Any) -> None:
    contexts.pop("injected", None)  # of another module of tests
    importlib.reload(module)
    assert ids(client) == ["chat_context", "another", "chat_context_free", "chat_context_premium"]
    settings.FABRA_CHAT_CONTEXT = "another"
    assert ids(client) == ["another", "chat_context_free", "chat_context_premium"]


def test_a_model_is_described(bot: None, client: Client) -> None:
    body = client.get("/v1/models/chat_context_free").json()
    assert body["created"] > 1_700_000_000
    assert (body["id"], body["object"], body["owned_by"]) == ("chat_context_free", "model", "fabra")
    assert (body["max_context_tokens"], "free plan" in body["description"]) == (4000, True)
    assert client.get("/v1/models/default").json()["id"] == "chat_context"
    for name in ("gpt-4o", "chat_context.py", "a/b", "os", "x" * 3000):
        assert error_of(client.get(f"/v1/models/{name}")) == (404, "model_not_found", "model")


def test_a_key_lists_and_asks_its_own_contexts_only(bot: None, client: Client, complete: Any) -> None:
    importlib.reload(module)
    _, key = ApiKey.make("site", ["chat"], contexts=["another", "gone", "chat_context_free"])
    headers = {"Authorization": f"Bearer {key}"}
    assert ids(client, key) == ["another", "chat_context_free"]
    body = complete(headers=headers).json()  # `default` is the key's first
    assert body["model"] == "another"
    assert complete(headers=headers, model="chat_context_free").status_code == 200
    for name in ("chat_context", "chat_context_premium", "gone"):
        assert error_of(complete(headers=headers, model=name)) == (404, "model_not_found", "model")


def test_a_context_that_is_switched_off_is_no_model(bot: None, client: Client, complete: Any) -> None:
    disable("chat_context_free")
    assert "chat_context_premium" in ids(client) and "chat_context_free" not in ids(client)
    assert error_of(complete(model="chat_context_free")) == (404, "model_not_found", "model")
    _, key = ApiKey.make("site", ["chat"], contexts=["chat_context_free"])
    assert ids(client, key) == []
    assert error_of(complete(headers={"Authorization": f"Bearer {key}"})) == (404, "model_not_found", "model")


@pytest.mark.parametrize("model", [..., "", 5, None, ["default"]])
def test_a_model_is_named(bot: None, complete: Any, model: Any) -> None:
    assert error_of(complete(model=model)) == (400, "missing_required_parameter", "model")


def test_the_model_that_was_named_answers(bot: None, complete: Any) -> None:
    importlib.reload(module)
    assert complete(model="another").json()["model"] == "another"
    assert complete(model="another").json()["fabra"]["citations"] == []
    assert complete(model="chat_context").json()["fabra"]["citations"]


def test_a_keys_default_is_the_context_of_its_bot(bot: None, client: Client, complete: Any) -> None:
    importlib.reload(module)
    Bot.objects.create(slug="people", context="another")
    keys = {
        name: ApiKey.make(name, ["chat"], **bounds)[1]
        for name, bounds in {
            "desk": {"bot": "people"},
            "bound": {"bot": "people", "contexts": ["chat_context", "another"]},
            "elsewhere": {"contexts": ["chat_context_free", "another"]},
        }.items()
    }
    assert ids(client, keys["desk"])[:2] == ["another", "chat_context"]
    assert ids(client, keys["bound"]) == ["another", "chat_context"]
    assert ids(client, keys["elsewhere"]) == ["chat_context_free", "another"]
    answered = complete(headers={"Authorization": f"Bearer {keys['desk']}"}).json()
    assert answered["model"] == "another"
    assert Conversation.objects.get(pk=answered["fabra"]["conversation_id"]).bot == "people"
    # So it is for the default bot, which keys without a bot ask.
    Bot.objects.filter(slug=DEFAULT_BOT).update(context="chat_context_premium")
    known.rows.clear()
    assert ids(client)[0] == client.get("/v1/models/default").json()["id"] == "chat_context_premium"
    Bot.objects.filter(slug="people").update(is_enabled=False)
    known.rows.clear()
    refused = client.get("/v1/models", headers={"Authorization": f"Bearer {keys['desk']}"})
    assert error_of(refused) == (404, "bot_not_found", None)
