"""Which model answers: the first that can, others before its first word, and none that failed a moment ago."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.test import Client

from chat.errors import ModelError, ModelRefused, ModelTimeout
from chat.models import ModelProvider, Purpose
from chat.providers import Completion, Prompt, get_provider, whole_answer
from chat.providers.circuits import circuit_of
from chat.providers.configured import config_of, configured_models, configured_models_now
from chat.providers.retries import wait_before_retry
from chat.spending.calls import most_usd
from contexts.declaration import context
from contexts.items import ContextItem
from contexts.models import Trace
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db
PROMPT = Prompt(messages=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi?"}])


@pytest.fixture
def second() -> Iterator[ModelServer]:
    server = ModelServer()
    yield server
    server.close()


@pytest.fixture
def two(model: ModelServer, second: ModelServer, settings: Any) -> tuple[ModelServer, ModelServer]:
    """Two model servers, the environment's and another one's."""
    settings.FABRA_MODEL_RETRIES, second.text = 0, "The second answers."
    row("spare", second, timeout_s=30)
    return model, second


def row(name: str, server: ModelServer, **more: Any) -> ModelProvider:
    provider = ModelProvider(**{"name": name, "base_url": server.url, "model": f"{name}-model", "retries": 0} | more)
    provider.full_clean()
    provider.save()
    return provider


def ask_models(prompt: Prompt = PROMPT, model: str = "") -> tuple[str, Completion, list[dict[str, Any]]]:
    async def run() -> tuple[str, Completion, list[dict[str, Any]]]:
        provider = await get_provider(model)
        text, completion = await whole_answer(provider, prompt)
        return text, completion, [attempt.to_dict() for attempt in provider.attempts]

    return async_to_sync(run)()


FAILURES = ("401", "404", "429", "500", "drop", "hang", "400")


def attempts_of(trace: Trace) -> list[tuple[str, str]]:
    assert trace.outcome is not None
    return [(attempt["provider"], attempt["code"]) for attempt in trace.outcome["attempts"]]


def test_the_order_is_that_of_the_positions_and_the_environments_model_is_0(
    two: Any, second: ModelServer, settings: Any
) -> None:
    row("before", second, position=-1)
    row("off", second, position=-5, is_enabled=False)

    def names() -> list[str]:
        return [config.name for config in async_to_sync(configured_models)()]

    assert names() == ["before", "environment", "spare"]
    settings.FABRA_CHAT_USES_OPENAI_KEY = False
    assert names() == ["before", "spare"]


@pytest.mark.parametrize(
    ("behaviour", "is_streamed"),
    [
        *[(behaviour, False) for behaviour in (*FAILURES, "nonsense", "garble")],
        *[(behaviour, True) for behaviour in FAILURES],  # what is no stream at all has tests of its own
    ],
)
def test_a_model_that_fails_before_its_first_word_is_replaced(
    behaviour: str, is_streamed: bool, two: Any, bot: None, ask: Any, streamed: Any, settings: Any
) -> None:
    settings.FABRA_MODEL_TIMEOUT_S = 0.3 if behaviour == "hang" else 30.0
    two[0].behaviour = behaviour
    body = streamed()[-1][1] if is_streamed else ask().json()
    assert body["response"] == "The second answers."
    trace = Trace.objects.get()
    assert [provider for provider, _ in attempts_of(trace)] == ["environment", "spare"]
    assert attempts_of(trace)[1][1] == "ok"


def test_after_its_first_word_it_is_not(two: Any, bot: None, streamed: Any) -> None:
    two[0].behaviour = "break"
    events = streamed()
    assert events[-1][0] == "error"
    assert events[-1][1]["code"] == "model_failed"
    assert two[1].requests == []
    assert attempts_of(Trace.objects.get()) == [("environment", "model_failed")]


def test_all_down_is_the_last_ones_error_and_the_trace_says_what_was_tried(
    two: Any, bot: None, ask: Any, admin_client: Client
) -> None:
    two[0].behaviour, two[1].behaviour = "401", "503"
    two[0].error_code = "invalid_api_key"
    response = ask()
    assert (response.status_code, response.json()["error"]["code"]) == (502, "model_failed")
    trace = Trace.objects.get()
    assert attempts_of(trace) == [("environment", "model_refused"), ("spare", "model_failed")]
    assert trace.outcome is not None
    assert trace.outcome["attempts"][0] | {"ms": 1} == {
        "provider": "environment", "model": "gpt-4o-mini", "code": "model_refused", "status": 401,
        "why": "invalid_api_key", "ms": 1,
    }  # fmt: skip
    page = admin_client.get(f"/admin/contexts/trace/{trace.pk}/change/").content.decode()
    assert "invalid_api_key" in page
    assert "spare-model" in page


def test_the_api_tells_who_may_see_a_trace_which_models_were_tried(
    two: Any, bot: None, ask: Any, client: Client
) -> None:
    two[0].behaviour, two[0].error_code = "401", "invalid_api_key"
    trace = client.get(f"/api/traces/{ask().json()['context_id']}/").json()
    refused, answered = trace["attempts"]
    assert (refused["provider"], refused["code"], refused["status"]) == ("environment", "model_refused", 401)
    assert (refused["why"], refused["first_ms"], refused["usage"]) == ("invalid_api_key", None, None)
    assert (answered["provider"], answered["model"], answered["code"]) == ("spare", "spare-model", "ok")
    assert (answered["status"], answered["why"]) == (None, "")


@pytest.mark.parametrize(
    ("behaviour", "is_streamed", "why"),
    [
        ("think", False, "The language model sent no text (finish reason 'length')."),
        ("break", True, "The language model's stream broke off."),
        ("garble", False, "The language model's server sent an answer that is not JSON."),
        ("nonsense", False, "The language model's server sent an answer without choices."),
    ],
)
def test_a_failure_without_a_status_is_told_to_the_operator_with_its_reason(
    behaviour: str, is_streamed: bool, why: str, model: ModelServer, bot: None, ask: Any, streamed: Any, caplog: Any
) -> None:
    model.behaviour = behaviour
    _ = streamed() if is_streamed else ask()
    trace = Trace.objects.get()
    assert trace.outcome is not None
    assert trace.outcome["attempts"][0]["why"] == why
    assert f"The model environment failed: model_failed: {why}" in caplog.text


def test_passages_are_quoted_where_no_model_answers_only_if_the_operator_says_so(
    two: Any, bot: None, ask: Any, settings: Any
) -> None:
    settings.FABRA_MODEL_FALLBACK = "extractive"
    two[0].behaviour = two[1].behaviour = "500"
    body = ask().json()
    assert "Forgot password?" in body["response"]
    assert (body["extractive"], body["model"], "model_unavailable" in body["flags"]) == (True, "extractive", True)
    assert "does not answer" in body["notice"]
    with pytest.raises(ModelError):  # a summary is not made of quotes
        ask_models(Prompt(messages=PROMPT.messages, purpose=Purpose.SUMMARY))


def test_what_may_be_retried_is_and_each_call_is_told(model: ModelServer, settings: Any) -> None:
    settings.FABRA_MODEL_RETRIES = 2
    model.next = ["500", "drop"]
    text, _, attempts = ask_models()
    assert text == model.text
    assert [attempt["code"] for attempt in attempts] == ["model_failed", "model_unreachable", "ok"]
    assert 250 <= attempts[0]["retried_after_ms"] <= 500 <= attempts[1]["retried_after_ms"] <= 1000


@pytest.mark.parametrize(
    ("behaviour", "calls"), [("400", 1), ("401", 1), ("404", 1), ("422", 1), ("409", 2), ("429", 2)]
)
def test_what_would_fail_again_is_not_retried(behaviour: str, calls: int, model: ModelServer, settings: Any) -> None:
    settings.FABRA_MODEL_RETRIES, model.behaviour = 1, behaviour
    model.error_headers = {"Retry-After": "0"}
    with pytest.raises(ModelError):
        ask_models()
    assert len(model.requests) == calls


def test_a_quota_that_is_used_up_is_not_waited_for(model: ModelServer) -> None:
    model.behaviour, model.error_code = "429", "insufficient_quota"
    with pytest.raises(ModelError):
        ask_models()
    assert len(model.requests) == 1


def test_a_server_that_asks_for_a_long_wait_is_left_for_another(two: Any) -> None:
    two[0].behaviour, two[0].error_headers = "429", {"Retry-After": "7"}
    assert ask_models()[0] == "The second answers."


@pytest.mark.parametrize(
    ("error", "asked_for_s", "has_next", "least", "most"),
    [
        (ModelError, None, False, 0.25, 0.5), (ModelError, 3.0, False, 3.0, 3.1), (ModelError, 3.0, True, None, None),
        (ModelError, 0.5, True, 0.5, 0.6), (ModelError, 21.0, False, None, None),
        (ModelTimeout, None, True, None, None), (ModelTimeout, None, False, 0.25, 0.5),
    ],
)  # fmt: skip
def test_the_wait_is_the_servers_or_doubles_with_jitter(
    error: type[ModelError], asked_for_s: float | None, has_next: bool, least: float | None, most: float | None
) -> None:
    failed = error()
    failed.may_retry, failed.retry_after_s = True, asked_for_s
    wait = wait_before_retry(failed, 0, has_next=has_next)
    assert (wait is None) == (least is None)
    if wait is not None and least is not None and most is not None:
        assert least <= wait <= most
        if asked_for_s is None:
            assert 4 * least <= (wait_before_retry(failed, 2, has_next=has_next) or 0) <= 4 * most


def test_a_model_that_failed_is_left_alone_then_tried_by_one_request(two: Any, settings: Any) -> None:
    settings.FABRA_MODEL_PAUSE_S = 60.0
    first = two[0]
    first.behaviour = "500"
    ask_models()
    assert ask_models()[2][0] == {"provider": "environment", "model": "gpt-4o-mini", "code": "paused"}
    assert len(first.requests) == 1

    circuit = circuit_of(async_to_sync(configured_models)()[0])
    circuit.open_until = 0.0  # the pause is over
    first.behaviour, first.delay_s = "answer", 60.0

    async def many() -> list[str]:
        providers = [await get_provider() for _ in range(8)]
        asked = [asyncio.ensure_future(whole_answer(provider, PROMPT)) for provider in providers]
        async with asyncio.timeout(60):
            while sum(answer.done() for answer in asked) < 7:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        first.delay_s = 0.0
        return [text for text, _ in await asyncio.gather(*asked)]

    answers = async_to_sync(many)()
    assert len(first.requests) == 2, "one request tries it"
    assert answers.count(first.text) == 1
    assert ask_models()[0] == first.text


def test_the_pause_grows_while_it_fails_and_a_bad_question_is_no_reason_for_one(two: Any, settings: Any) -> None:
    settings.FABRA_MODEL_PAUSE_S = 60.0
    two[0].behaviour = "400"
    ask_models()
    circuit = circuit_of(async_to_sync(configured_models)()[0])
    assert not circuit.is_open
    two[0].behaviour = "500"
    for failures in (1, 2, 3):
        circuit.open_until = 0.0
        ask_models()
        assert circuit.failures == failures
    assert circuit.is_open


def test_where_all_have_failed_all_are_asked_again(two: Any, settings: Any) -> None:
    settings.FABRA_MODEL_PAUSE_S = 60.0
    two[0].behaviour = two[1].behaviour = "500"
    for _ in range(2):
        with pytest.raises(ModelError):
            ask_models()
    assert (len(two[0].requests), len(two[1].requests)) == (2, 2)
    two[1].behaviour = "answer"
    assert ask_models()[0] == "The second answers."


def test_a_prompt_that_is_too_long_for_the_next_model_is_not_sent_to_it(two: Any, second: ModelServer) -> None:
    two[0].behaviour = "500"
    ModelProvider.objects.update(window=1010)
    with pytest.raises(ModelError):
        ask_models(Prompt(messages=[{"role": "user", "content": "word " * 50}]))
    assert second.requests == []


def test_a_contexts_model_is_asked_first_if_it_is_configured(
    two: Any, bot: None, ask: Any, use_context: Callable[[Any], None]
) -> None:
    @context(name="with_its_own_model", model="spare-model")
    async def with_its_own_model(user_id: str, query: str) -> list[ContextItem]:
        return [ContextItem("Be kind.", required=True)]

    use_context(with_its_own_model)
    assert ask().json()["response"] == "The second answers."
    ModelProvider.objects.update(model="another")
    from chat.providers.configured import rows

    rows.clear()
    assert ask().json()["response"] == two[0].text


def test_connections_stay_open_between_answers(model: ModelServer) -> None:
    async def ask_often() -> None:
        for _ in range(5):
            await whole_answer(await get_provider(), PROMPT)

    async_to_sync(ask_often)()
    assert len(model.requests) == 5
    assert len(model.connections) == 1


def test_the_key_comes_from_the_named_variable_or_its_file(
    two: Any, second: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    ModelProvider.objects.update(key_variable="SPARE_API_KEY", position=-1)
    assert ask_models()[2][0]["why"] == "SPARE_API_KEY is not set"
    assert second.requests == []
    (tmp_path / "key").write_text("from-a-file\n")
    monkeypatch.setenv("SPARE_API_KEY_FILE", str(tmp_path / "key"))
    circuit_of(async_to_sync(configured_models)()[0]).close()
    assert ask_models()[0] == "The second answers."
    assert second.keys == ["Bearer from-a-file"]


@pytest.mark.parametrize(
    "fields",
    [
        {"key_variable": "SECRET_KEY"}, {"key_variable": "DATABASE_URL"}, {"key_variable": "sk-1234"},
        {"base_url": "ftp://models.example.com"}, {"base_url": "https://key@models.example.com/v1"}, {"base_url": "x"},
        {"input_price_usd": 1}, {"parameters": {"messages": []}},
        {"parameters": {"max_tokens": 8000}}, {"parameters": {"max_completion_tokens": 8000}}, {"parameters": ["seed"]},
        {"max_tokens": 0}, {"name": "environment"}, {"timeout_s": 0},
    ],
)  # fmt: skip
def test_a_row_that_cannot_work_or_would_leak_a_secret_is_refused(fields: dict[str, Any], second: ModelServer) -> None:
    with pytest.raises(ValidationError):
        row(**{"name": "spare", "server": second} | fields)


def test_what_a_model_can_do_shapes_its_requests(second: ModelServer, bot: None, streamed: Any, settings: Any) -> None:
    settings.OPENAI_API_KEY = ""
    row("plain", second, can_stream=False, takes_system=False, parameters={"reasoning_effort": "low"})
    assert streamed()[-1][1]["response"] == second.text
    sent = second.requests[0]
    assert "stream" not in sent
    assert sent["reasoning_effort"] == "low"
    assert [message["role"] for message in sent["messages"]] == ["user"]


def test_a_row_has_its_own_longest_answer(second: ModelServer, bot: None, ask: Any, settings: Any) -> None:
    settings.OPENAI_API_KEY = ""
    provider = row("long", second, max_tokens=8000)
    assert ask().json()["response"] == second.text
    assert second.requests[0]["max_tokens"] == 8000
    short = replace(PROMPT, max_tokens=50)
    priced = config_of(replace_prices(provider))
    assert most_usd([priced], PROMPT) > Decimal("0.016")  # 8000 tokens of output at two dollars a million
    assert most_usd([priced], short) < Decimal("0.001")
    ask_models(short)
    assert second.requests[1]["max_tokens"] == 50
    ModelProvider.objects.update(max_tokens=30, parameters={"max_tokens": 9000})  # not by the admin
    configured_models_now()
    ask_models(short)
    assert second.requests[2]["max_tokens"] == 30


def replace_prices(provider: ModelProvider) -> ModelProvider:
    provider.input_price_usd, provider.output_price_usd = Decimal(1), Decimal(2)
    return provider


def test_the_longest_answer_leaves_the_rest_of_the_window_to_the_context(
    second: ModelServer, bot: None, ask: Any, settings: Any
) -> None:
    settings.OPENAI_API_KEY = ""
    row("long", second, window=5000, max_tokens=4990)
    assert ask().json()["error"]["code"] == "message_too_long"


def test_a_refusal_is_no_error_of_ours() -> None:
    assert not ModelRefused().may_retry


def test_a_model_of_the_admin_is_on_the_page_and_in_the_list(
    second: ModelServer, bot: None, client: Client, admin_client: Client
) -> None:
    row("spare", second, key_variable="SPARE_API_KEY")
    assert b"to get written answers" not in client.get("/").content
    page = admin_client.get("/admin/chat/modelprovider/").content.decode()
    assert "SPARE_API_KEY" in page
    assert "fb-bad" in page
