"""`manage.py models`: which are configured, and whether each works."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chat.models import ModelCall, ModelProvider
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


def test_what_it_refuses_is_told(model: ModelServer) -> None:
    model.refused = ("max_tokens", "stream_options")
    said, status = run("check")
    assert status == 0
    assert "takes no max_tokens, stream_options" in said


def test_a_model_that_begins_with_its_thoughts_is_noted(model: ModelServer, settings: Any) -> None:
    model.text = "They want one word.\n</think>\n\nYes."
    ModelProvider.objects.create(name="deep", base_url=model.url, model="m", position=5)
    said, status = run("check")
    assert status == 0
    environment, deep = said.splitlines()
    assert "set FABRA_MODEL_BEGINS_WITH_THINKING=1" in environment and "noted" in deep
    assert ModelProvider.objects.get().begins_with_thinking
    assert json.loads(run("check", "deep", "--json")[0])[0]["begins_with_thinking"]


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
