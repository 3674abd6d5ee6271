"""The messages are counted for the model that is asked, whichever it is, and never exceed its window."""

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from chat.models import Message, ModelProvider
from contexts.declaration import context
from contexts.items import Context, ContextItem
from contexts.models import Trace
from contexts.tokens import tokenizer_for
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db
Items = list[ContextItem]
LONG = "It is so, and no other way. " * 4


@pytest.fixture
def little(model: ModelServer) -> Iterator[ModelServer]:
    """The server of a model with a small window, beside the first one, whose window is large."""
    server = ModelServer()
    server.text = LONG
    ModelProvider.objects.create(
        name="little", base_url=server.url, model="gpt-4", position=5, window=230, max_tokens=50, timeout_s=30
    )
    yield server
    server.close()


def declared(name: str, **options: Any) -> Callable[..., Awaitable[Context]]:
    @context(name=name, **{"max_tokens": 1000} | options)
    async def function(user_id: str, query: str) -> Items:
        return [ContextItem("Be kind.", required=True)]

    return function


def size(server: ModelServer, model: str) -> int:
    count = tokenizer_for(model).count
    return sum(count(message["content"]) + 4 for message in server.requests[-1]["messages"])


def talk(ask: Any, times: int, text: str = "Question number {}?") -> dict[str, Any]:
    known: dict[str, int] = {}
    for number in range(times):
        response = ask(text.format(number), **known)
        assert response.status_code == 200
        known["conversation_id"] = response.json()["conversation_id"]
    return dict(response.json())


def dropped(body: dict[str, Any]) -> int:
    evidence = json.loads(Trace.objects.select_related("body").get(pk=body["context_id"]).body.text)
    return sum(not item["kept"] for item in evidence["items"])


@pytest.mark.parametrize("chooses", ["a plain function", "a context"])
def test_the_window_is_that_of_the_context_that_was_chosen(
    bot: None, ask: Any, little: ModelServer, use_context: Callable[[Any], None], chooses: str
) -> None:
    chosen = declared("chosen", model="gpt-4")

    async def choose(user_id: str, query: str) -> Context:
        return await chosen(user_id, query)

    @context(name="outer")
    async def outer(user_id: str, query: str, conversation: Any) -> Context:
        return await with_history(user_id, query, conversation)

    @context(name="inner", model="gpt-4")
    async def with_history(user_id: str, query: str, conversation: Any) -> Items:
        return [ContextItem("Be kind.", required=True), *conversation.items()]

    use_context(choose if chooses == "a plain function" else outer)
    body = talk(ask, 6)
    assert len(little.requests) == 6
    assert size(little, "gpt-4") + 50 <= 230
    assert dropped(body) > 0


def test_question_and_prompt_are_counted_with_the_tokens_of_the_model_that_is_asked(
    bot: None, ask: Any, little: ModelServer, use_context: Callable[[Any], None], settings: Any
) -> None:
    """The context counts its own budget with FABRA_CHAT_MODEL's tokens, of which Thai has half as many."""
    settings.FABRA_MODELS, settings.OPENAI_API_KEY = [], ""
    little.text = "ลิงก์ใช้งานได้หนึ่งชั่วโมง"
    use_context(declared("thai"))
    talk(ask, 6, "ฉันจะรีเซ็ตรหัสผ่านได้อย่างไร {}")
    assert size(little, "gpt-4") > 1.5 * size(little, "gpt-4o-mini")
    assert size(little, "gpt-4") + 50 <= 230


def test_required_items_over_the_window_are_refused_and_the_trace_says_what_was_assembled(
    bot: None, ask: Any, little: ModelServer, use_context: Callable[[Any], None], settings: Any
) -> None:
    settings.OPENAI_API_KEY = ""

    @context(name="large", max_tokens=100, overflow="allow", model="gpt-4")
    async def large(user_id: str, query: str) -> Items:
        return [ContextItem("word " * 400, required=True)]

    use_context(large)
    response = ask()
    assert (response.status_code, response.json()["error"]["code"]) == (413, "message_too_long")
    assert "window of 230" in response.json()["error"]["message"]
    assert little.requests == []
    assert not Message.objects.exists()
    assert Trace.objects.get().flags == ["over_budget"]


def test_a_model_whose_window_it_does_not_fit_is_left_out_though_it_is_the_first(
    bot: None, ask: Any, model: ModelServer, little: ModelServer, use_context: Callable[[Any], None]
) -> None:
    @context(name="large", max_tokens=100, overflow="allow", model="gpt-4")
    async def large(user_id: str, query: str) -> Items:
        return [ContextItem("word " * 400, required=True)]

    use_context(large)
    assert ask().json()["response"] == model.text
    assert little.requests == []
    outcome = Trace.objects.get().outcome
    assert outcome is not None
    assert [(attempt["provider"], attempt["code"]) for attempt in outcome["attempts"]] == [
        ("little", "window"), ("environment", "ok"),
    ]  # fmt: skip
