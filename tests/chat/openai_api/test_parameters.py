"""What a client sends beside its messages has its effect, is named as ignored, or is refused: never misread."""

from typing import Any

import pytest

from chat.models import ModelCall, ModelProvider
from tests.chat.openai_api.conftest import error_of
from tests.model_server import TEXT, ModelServer

pytestmark = pytest.mark.django_db

PASSED_ON = {
    "temperature": 0.2, "top_p": 1, "frequency_penalty": -1.5, "presence_penalty": 0.5, "seed": 7, "stop": ["\n\n"],
    "reasoning_effort": "low", "verbosity": "high",
}  # fmt: skip
SAYS_NOTHING = {
    "n": 1, "response_format": {"type": "text"}, "logprobs": False, "top_logprobs": 0, "modalities": ["text"],
    "stream": False, "temperature": None, "tools": None,
}  # fmt: skip
IGNORED = {
    "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto", "parallel_tool_calls": True,
    "logit_bias": {"50256": -100}, "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "top_k": 40,
    "prediction": {"type": "content", "content": "x"}, "stream_options": {"include_obfuscation": False},
    "safety_identifier": "another",
}  # fmt: skip
REFUSED: list[tuple[str, Any]] = [
    ("n", 2), ("n", True), ("response_format", {"type": "json_object"}),
    ("response_format", {"type": "json_schema", "json_schema": {"name": "a"}}), ("tool_choice", "required"),
    ("tool_choice", {"type": "function", "function": {"name": "f"}}), ("function_call", {"name": "f"}),
    ("logprobs", True), ("top_logprobs", 3), ("modalities", ["text", "audio"]), ("audio", {"voice": "a"}),
]  # fmt: skip
WRONG: list[tuple[str, Any]] = [
    ("temperature", 2.5), ("temperature", "hot"), ("temperature", True), ("top_p", -1), ("presence_penalty", 3),
    ("max_tokens", 0), ("max_tokens", 1.5), ("max_completion_tokens", "9"), ("seed", 2**70), ("stop", [""]),
    ("stop", ["a"] * 5), ("stop", ["\x00"]), ("stop", 5), ("stream", "yes"), ("stream_options", []),
    ("temperature", 10**400), ("seed", -(10**400)), ("max_tokens", 10**400),
    ("reasoning_effort", "much"), ("verbosity", []), ("user", 5), ("user", "ana\u200b"), ("user", " ana"),
    ("safety_identifier", 5),
]  # fmt: skip


def test_what_a_model_takes_is_passed_on_and_nothing_else(bot: None, model: ModelServer, complete: Any) -> None:
    body = complete(**PASSED_ON, **IGNORED, max_completion_tokens=50).json()
    sent = model.requests[-1]
    assert set(sent) == {"model", "messages", "max_tokens", *PASSED_ON}
    assert {name: sent[name] for name in PASSED_ON} == PASSED_ON
    assert sent["max_tokens"] == 50
    named = IGNORED.keys() - {"stream_options"} | {"stream_options.include_obfuscation"}
    assert set(body["fabra"]["ignored"]) == named


def test_what_says_nothing_is_not_named(bot: None, model: ModelServer, complete: Any) -> None:
    response = complete(**SAYS_NOTHING)
    assert (response.json()["fabra"]["ignored"], "X-Fabra-Ignored" in response.headers) == ([], False)
    assert set(model.requests[-1]) == {"model", "messages", "max_tokens"}


def test_an_answer_without_a_model_names_its_options_as_ignored(bot: None, complete: Any) -> None:
    response = complete(temperature=0.5, seed=1, max_completion_tokens=50)
    assert response.json()["fabra"]["ignored"] == ["temperature", "seed", "max_completion_tokens"]
    assert response.headers["X-Fabra-Ignored"] == "temperature, seed, max_completion_tokens"


def test_where_passages_are_quoted_in_place_of_a_model_the_options_are_named_too(
    bot: None, model: ModelServer, complete: Any, settings: Any
) -> None:
    settings.FABRA_MODEL_FALLBACK, model.behaviour = "extractive", "500"
    body = complete(temperature=0.5, max_tokens=50).json()
    assert body["fabra"]["ignored"] == ["temperature", "max_tokens"]


def test_what_the_operator_set_for_the_model_comes_first_and_is_named(
    bot: None, model: ModelServer, complete: Any, settings: Any
) -> None:
    ModelProvider.objects.create(
        name="cool", base_url=model.url, model="cool-model", position=-1, parameters={"temperature": 0.1}
    )
    body = complete(temperature=0.9, seed=7).json()
    assert (model.requests[-1]["temperature"], model.requests[-1]["seed"]) == (0.1, 7)
    assert body["fabra"]["ignored"] == ["temperature"]


def test_a_server_that_counts_no_tokens_is_told_by_what_is_billed(bot: None, model: ModelServer, complete: Any) -> None:
    model.behaviour = "no usage"
    used = complete().json()["usage"]
    call = ModelCall.objects.get()
    assert (used["prompt_tokens"], used["completion_tokens"]) == (call.prompt_tokens, call.completion_tokens)
    assert used["total_tokens"] == call.prompt_tokens + call.completion_tokens > 50


@pytest.mark.parametrize("longest", [None, 50, 4000])
def test_more_tokens_than_the_model_gives_are_not_asked_for_and_that_is_named(
    longest: int | None, bot: None, model: ModelServer, complete: Any, settings: Any
) -> None:
    """The longest answer is the model's own, or else the installation's."""
    settings.FABRA_MODEL_MAX_TOKENS = 100
    ModelProvider.objects.create(name="first", base_url=model.url, model="m", position=-1, max_tokens=longest)
    most = longest or 100
    response = complete(max_tokens=5000)
    assert model.requests[-1]["max_tokens"] == most
    assert response.json()["fabra"]["ignored"] == [f"max_tokens above {most}"]
    assert response.headers["X-Fabra-Ignored"] == f"max_tokens above {most}"
    within = complete("Is it long?", max_tokens=most)
    assert (model.requests[-1]["max_tokens"], within.json()["fabra"]["ignored"]) == (most, [])


def test_of_two_limits_the_one_that_does_not_count_is_named(bot: None, model: ModelServer, complete: Any) -> None:
    for limits in ({"max_tokens": 50, "max_completion_tokens": 20}, {"max_completion_tokens": 20, "max_tokens": 50}):
        assert complete(**limits).json()["fabra"]["ignored"] == ["max_tokens"]
        assert model.requests[-1]["max_tokens"] == 20


def test_what_is_reserved_of_a_budget_is_for_the_tokens_that_are_asked_for(
    bot: None, model: ModelServer, complete: Any, settings: Any
) -> None:
    settings.FABRA_MODEL_PRICES = {"gpt-4o-mini": [0, 1000]}  # a thousandth of a dollar for a token
    settings.FABRA_BUDGETS = {"installation": {"day": 0.5}}
    assert complete().status_code == 402
    assert complete(max_tokens=100).status_code == 200


def test_usage_that_only_a_stream_tells_is_named_without_one(bot: None, model: ModelServer, complete: Any) -> None:
    body = complete(stream_options={"include_usage": True}).json()
    assert body["fabra"]["ignored"] == ["stream_options.include_usage"]


@pytest.mark.parametrize("is_streamed", [True, False])
def test_an_option_of_a_stream_that_is_no_flag_is_refused(bot: None, complete: Any, is_streamed: bool) -> None:
    for wrong in ("false", 0):
        response = complete(stream=is_streamed, stream_options={"include_usage": wrong})
        assert error_of(response) == (400, "invalid_type", "stream_options.include_usage"), wrong


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_what_cannot_be_had_is_refused(bot: None, complete: Any, name: str, value: Any) -> None:
    assert error_of(complete(**{name: value})) == (400, "unsupported_value", name)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_told_with_its_name(bot: None, complete: Any, name: str, value: Any) -> None:
    more = {"user": ...} if name == "safety_identifier" else {}
    status, _, param = error_of(complete(**{**more, name: value}))
    assert (status, param) == (400, name)


def test_hostile_names_reach_no_header(bot: None, complete: Any) -> None:
    names = {
        "a\r\nSet-Cookie: x": 1,
        "\u2028ü" * 200: 1,
        "\ud800": 1,
        **{f"unknown_{number}": 1 for number in range(50)},
    }
    response = complete(**names)
    header = response.headers["X-Fabra-Ignored"]
    assert header.isascii() and "\n" not in header and len(header.split(", ")) == 20
    assert len(response.json()["fabra"]["ignored"]) == 53


def test_an_answer_that_was_cut_off_says_so(bot: None, model: ModelServer, complete: Any) -> None:
    model.behaviour = "cut off"
    body = complete(max_tokens=3).json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["choices"][0]["message"]["content"] == TEXT
    assert body["usage"] == {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
