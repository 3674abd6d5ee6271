"""`manage.py models`: which are configured, and whether each works."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from chat.checks import check_models
from chat.models import Bot, ModelCall, ModelProvider
from contexts.declaration import context
from contexts.items import ContextItem
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, int]:
    """Return what the command writes, and its exit status."""
    out = StringIO()
    try:
        call_command("models", *arguments, stdout=out)
    except SystemExit as ended:
        return out.getvalue(), int(ended.code or 0)
    return out.getvalue(), 0


def test_a_model_that_works_is_told_with_its_times_and_window(model: ModelServer) -> None:
    model.models = {"gpt-4o-mini": {"max_model_len": 8192}, "another": {"max_model_len": 1}}
    said, status = run("check", "--json")
    (found,) = json.loads(said)
    assert status == 0
    assert (found["is_working"], found["answered_model"], found["window"], found["window_is_told"]) == (
        True, "stub-model", 8192, True,
    )  # fmt: skip
    assert 0 < found["first_token_ms"] <= found["latency_ms"]
    assert "8,192 (told by the server)" in run("check")[0]
    assert set(ModelCall.objects.values_list("purpose", flat=True)) == {"check"}


def test_one_that_fails_is_told_with_its_reason_and_the_status_is_1(model: ModelServer) -> None:
    model.behaviour, model.error_code = "404", "model_not_found"
    ModelProvider.objects.create(name="down", base_url="http://127.0.0.1:1/v1", model="m", position=5)
    ModelProvider.objects.create(name="unset", base_url=model.url, model="m", key_variable="UNSET_API_KEY", position=6)
    said, status = run("check")
    assert status == 1
    first, down, unset = said.splitlines()
    assert first.startswith("environment: FAILED model_refused 404: model_not_found")
    assert down.startswith("down: FAILED model_unreachable")
    assert "UNSET_API_KEY is not set" in unset
    model.behaviour = "answer"
    assert run("check", "environment")[1] == 0


def test_a_failure_without_a_status_is_told_with_its_reason(model: ModelServer) -> None:
    model.behaviour = "think"
    assert "FAILED model_failed: The language model sent no text" in run("check")[0]
    assert "sent no text" in json.loads(run("check", "--json")[0])[0]["error"]["why"]


def test_it_is_asked_for_the_longest_answer_that_a_chat_asks_for(model: ModelServer, settings: Any) -> None:
    settings.FABRA_MODEL_MAX_TOKENS = 700
    ModelProvider.objects.create(name="deep", base_url=model.url, model="deep", position=5, max_tokens=4000)
    assert run("check")[1] == 0
    assert {(sent["model"], sent["max_tokens"]) for sent in model.requests} == {("gpt-4o-mini", 700), ("deep", 4000)}


def test_what_it_refuses_is_told(model: ModelServer) -> None:
    model.refused = ("max_tokens", "stream_options")
    said, status = run("check")
    assert status == 0
    assert "takes no max_tokens, stream_options" in said


def test_options_that_it_refuses_are_told_and_both_calls_counted(model: ModelServer) -> None:
    model.refused = ("temperature", "reasoning_effort")
    said, status = run("check")
    assert (status, "takes no temperature, reasoning_effort" in said) == (0, True)
    assert ModelCall.objects.filter(purpose="check").count() == 2


def test_a_model_that_begins_with_its_thoughts_is_noted(model: ModelServer, settings: Any) -> None:
    model.text = "They want one word.\n</think>\n\nYes."
    ModelProvider.objects.create(name="deep", base_url=model.url, model="m", position=5)
    said, status = run("check")
    assert status == 0
    environment, deep = said.splitlines()
    assert "set FABRA_MODEL_BEGINS_WITH_THINKING=1" in environment and "noted" in deep
    assert ModelProvider.objects.get().begins_with_thinking
    assert json.loads(run("check", "deep", "--json")[0])[0]["begins_with_thinking"]


def test_a_name_that_no_model_has_is_told(model: ModelServer, capsys: pytest.CaptureFixture[str]) -> None:
    @context(name="careful", max_tokens=1000, model="gone-model")
    async def careful(user_id: str, query: str) -> list[ContextItem]:
        return []

    Bot.objects.create(slug="shop", name="Shop", model="gpt-4o-mini")
    run("list")
    assert capsys.readouterr().err == "The context careful names the model gone-model, which is not configured.\n"


def test_models_of_the_settings_stand_between_that_of_the_key_and_the_admins(model: ModelServer, settings: Any) -> None:
    settings.FABRA_MODELS = [
        {"name": "claude", "base_url": model.url, "model": "claude", "window": 9000, "max_tokens": 500},
        {"name": "spare", "base_url": model.url, "model": "spare"},
        {"name": "first", "base_url": model.url, "model": "first", "position": -1},
    ]
    ModelProvider.objects.create(name="spare", base_url=model.url, model="of-the-admin", position=10)
    listed = json.loads(run("list", "--json")[0])
    assert [(model["name"], model["model"]) for model in listed] == [
        ("first", "first"), ("environment", "gpt-4o-mini"), ("claude", "claude"), ("spare", "of-the-admin"),
    ]  # fmt: skip
    assert run("check", "claude")[1] == 0
    assert model.requests[-1]["max_tokens"] == 500
    assert check_models() == []
    ModelProvider.objects.update(is_enabled=False)  # that of the settings does not come back by it
    assert "spare" not in [model["name"] for model in json.loads(run("list", "--json")[0])]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ""), ({"name": "a"}, "it is no list"), (["a"], "no object"), ([{"name": "a"}], "base_url"),
        ([{"name": "a", "base_url": "http://x", "model": "m", "key": "sk-1"}], "It has no key"),
        ([{"name": "a", "base_url": "http://x", "model": "m", "key_variable": "SECRET_KEY"}], "_API_KEY"),
        ([{"name": "a", "base_url": "http://x", "model": "m"}] * 2, "Another one is called a"),
        ([{"name": "a", "base_url": "http://x", "model": "m", "parameters": {"max_tokens": 9}}], "max_tokens"),
    ],
)  # fmt: skip
def test_models_of_the_settings_that_cannot_work_are_told_at_the_start(given: Any, said: str, settings: Any) -> None:
    settings.FABRA_MODELS = given
    told = check_models()
    assert [message.id for message in told] == (["chat.E006"] if given else [])
    assert all(said in message.msg for message in told)


def test_the_list_has_the_order_the_keys_and_the_prices(model: ModelServer, settings: Any) -> None:
    settings.FABRA_MODEL_PRICES = {"m": [0.5, 1.5]}
    ModelProvider.objects.create(name="first", base_url=model.url, model="m", key_variable="A_API_KEY", position=-1)
    first, environment = run("list")[0].splitlines()
    assert "first: m at http" in first
    assert "A_API_KEY (not set)" in first
    assert "0.5 / 1.5 US$" in first
    assert "environment: gpt-4o-mini" in environment
    assert [row["name"] for row in json.loads(run("list", "--json")[0])] == ["first", "environment"]


def test_without_a_model_or_with_a_wrong_name_it_says_what_to_do(settings: Any) -> None:
    settings.OPENAI_API_KEY = ""
    with pytest.raises(CommandError, match="OPENAI_API_KEY"):
        run("check")
    with pytest.raises(CommandError, match="no enabled model x"):
        run("check", "x")


def test_the_admin_shows_the_settings_models_and_the_longest_answer(admin_client: Client, settings: Any) -> None:
    settings.FABRA_MODELS = [{"name": "claude", "base_url": "http://127.0.0.1:1/v1", "model": "claude-sonnet-4-5"}]
    page = admin_client.get("/admin/chat/modelprovider/").content.decode()
    assert "FABRA_MODELS" in page and "claude-sonnet-4-5" in page
    form = admin_client.get("/admin/chat/modelprovider/add/").content.decode()
    assert "Longest answer" in form and 'name="max_tokens"' in form and 'name="begins_with_thinking"' in form
