"""What calls of models cost: with whose price, how well known, what for, and summed by day."""

import asyncio
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.test import Client
from django.utils import timezone

from chat.admin.spending_page import TONES
from chat.engine.answering import run
from chat.engine.beginning import begin
from chat.models import Message, ModelCall, Purpose, SpendingDay
from chat.providers.configured import ModelConfig
from chat.providers.wire import ModelAnswer
from chat.spending.prices import cost_of, price_of
from chat.spending.sums import roll_up, spending_of, spent_since
from chat.turns.turn import Question, Turn
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db
USAGE = {"prompt_tokens": 1_000_000, "completion_tokens": 100_000}


def config(base_url: str = "https://api.openai.com/v1", model: str = "gpt-4o-mini", **more: Any) -> ModelConfig:
    return ModelConfig(name="main", base_url=base_url, model=model, **more)


@pytest.mark.parametrize(
    ("asked", "answered", "usd", "kind"),
    [
        (config(), "gpt-4o-mini-2024-07-18", "0.21", "exact"),
        (config("https://mine.openai.azure.com/openai/v1/", "my-deployment"), "gpt-4o-mini", "0.21", "exact"),
        (config("http://127.0.0.1:4000/v1"), "gpt-4o-mini", "0.21", "estimated"),  # a proxy: whose model it is?
        (config("http://127.0.0.1:11434/v1", "my-own"), "my-own", None, "unknown"),
        (config(prices=(Decimal(1), Decimal(2))), "gpt-4o-mini", "1.2", "exact"),
    ],
)
def test_the_price_is_the_rows_or_the_list_price_of_the_server(
    asked: ModelConfig, answered: str, usd: str | None, kind: str
) -> None:
    cost, found = cost_of(asked, answered, USAGE, is_counted_here=False)
    assert (None if usd is None else Decimal(usd), kind) == (cost, found)


def test_the_settings_price_comes_before_the_list_price(settings: Any) -> None:
    settings.FABRA_MODEL_PRICES = {"gpt-4o-mini": [10, 20]}
    assert cost_of(config(), "gpt-4o-mini", USAGE, is_counted_here=True) == (Decimal(12), "estimated")


def test_a_price_that_depends_on_the_prompts_length_is_that_of_the_call() -> None:
    google = config("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-pro")
    short, long = ({"prompt_tokens": count, "completion_tokens": 0} for count in (100_000, 300_000))
    costs = [cost_of(google, "gemini-2.5-pro", usage, is_counted_here=False) for usage in (short, long)]
    assert costs == [(Decimal("0.125"), "exact"), (Decimal("0.75"), "exact")]  # 1.25 and 2.5 dollars a million


def test_what_the_server_had_read_before_costs_less() -> None:
    answer = ModelAnswer(model="m")
    answer.add({"usage": {"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 900}}})
    assert answer.usage is not None
    price = price_of(config())
    assert price is not None
    assert price.cost(answer.usage) == 100 * price.input_usd + 900 * price.cached_usd
    assert price.cached_usd < price.input_usd


def test_an_answer_has_its_cost_and_a_row_of_it(bot: None, ask: Any, model: ModelServer, settings: Any) -> None:
    settings.FABRA_MODEL_PRICES = {"gpt-4o-mini": [1, 2]}
    body = ask().json()
    assert (body["usage"]["cost_usd"], body["usage"]["cost_kind"]) == (0.00014, "exact")
    call = ModelCall.objects.get()
    assert (call.purpose, call.provider, call.model, call.user_id, call.tier) == (
        "answer", "environment", "stub-model", "user_123", "premium",
    )  # fmt: skip
    assert (call.context, str(call.trace_id)) == ("chat_context_premium", body["context_id"])
    assert (call.prompt_tokens, call.completion_tokens, call.cost_usd) == (100, 20, Decimal("0.00014"))


@pytest.mark.parametrize(("text", "flag"), [("Hello", "small_talk"), ("", "extractive")])
def test_what_no_model_answers_costs_nothing(
    text: str, flag: str, bot: None, ask: Any, model: ModelServer, settings: Any
) -> None:
    settings.OPENAI_API_KEY = "" if flag == "extractive" else "key"
    assert ask(text or "How do I reset my password?").json()["usage"]["cost_usd"] is None
    assert not ModelCall.objects.exists()


def test_an_answer_that_broke_off_costs_what_was_sent(
    bot: None, streamed: Any, model: ModelServer, settings: Any
) -> None:
    settings.FABRA_MODEL_PRICES = {"gpt-4o-mini": [1, 2]}
    model.behaviour = "break"
    assert streamed()[-1][0] == "error"
    call = ModelCall.objects.get()
    assert (call.kind, call.completion_tokens > 0, call.prompt_tokens > 50) == ("estimated", True, True)


@pytest.mark.django_db(transaction=True)
def test_a_client_that_goes_away_pays_for_what_it_got(small: ModelServer, settings: Any) -> None:
    settings.FABRA_MODEL_PRICES = {"gpt-4o-mini": [1, 2]}

    async def leave() -> None:
        turn = await begin(Question(user_id="u", message="What does it cost?"))
        assert isinstance(turn, Turn)
        pieces = run(turn, is_streamed=True)
        await anext(pieces)
        await pieces.aclose()
        for _ in range(3000):
            if await ModelCall.objects.aexists():
                return
            await asyncio.sleep(0.02)

    async_to_sync(leave)()
    assert ModelCall.objects.get().kind == "estimated"


def test_rewriting_and_summaries_are_told_apart(bot: None, ask: Any, model: ModelServer, settings: Any) -> None:
    settings.FABRA_REWRITE = "model"
    first = ask().json()
    ask("And how long is it valid?", conversation_id=first["conversation_id"])
    assert list(ModelCall.objects.order_by("pk").values_list("purpose", flat=True)) == ["answer", "rewrite", "answer"]


def test_a_deleted_conversation_leaves_the_cost_but_not_what_was_said(
    bot: None, ask: Any, client: Client, model: ModelServer
) -> None:
    conversation = ask().json()["conversation_id"]
    assert client.delete(f"/api/conversations/{conversation}/?user_id=user_123").status_code in (202, 204)
    assert not Message.objects.exists()
    assert ModelCall.objects.count() == 1


def make_call(days_ago: float, usd: str | None = "1", **more: Any) -> None:
    fields = {"purpose": "answer", "provider": "main", "model": "gpt-4o", "user_id": "ana", "tier": "free"} | more
    kind = "unknown" if usd is None else "exact"
    ModelCall.objects.create(
        created_at=timezone.now() - timedelta(days=days_ago), cost_usd=usd, kind=kind, prompt_tokens=10,
        completion_tokens=5, **fields,
    )  # fmt: skip


@time_machine.travel(f"{timezone.now():%Y-%m-%d} 12:00")  # a day is rolled up an hour after its end
def test_sums_are_the_same_before_and_after_the_days_are_rolled_up(settings: Any) -> None:
    for days_ago in (0, 1, 2, 2, 40):
        make_call(days_ago)
    make_call(2, None, model="own", purpose="rewrite")
    before = spending_of(30)
    assert before.whole.usd == 4
    assert (before.whole.calls, before.whole.unknown) == (5, 1)
    roll_up()
    roll_up()
    assert SpendingDay.objects.count() == 4
    assert spending_of(30) == before
    month_ago = (timezone.now() - timedelta(days=30)).date()
    assert spent_since(month_ago) == spent_since(month_ago, tier="free") == spent_since(month_ago, user_id="ana") == 4
    assert spent_since(month_ago, tier="premium") == 0


def test_the_page_shows_days_models_users_and_what_is_not_known(admin_client: Client, settings: Any) -> None:
    settings.FABRA_BUDGETS = {"installation": {"day": 2, "month": 400}, "tiers": {"free": {"month": 1}}}
    make_call(0, "1.5", context="<b>text</b>")
    make_call(1, None, model="own")
    for days in ("7", "30", "90", "365", "nonsense"):
        response = admin_client.get("/admin/spending/", {"range": days})
        assert response.status_code == 200
    page = response.content.decode()
    assert "<svg" in page
    assert "<b>text</b>" not in page
    for words in ("gpt-4o", "ana", "$1.5000 of $2.0000", "1 unknown", "tier free"):
        assert words in page


def test_the_traces_page_tells_how_well_the_cost_is_known(
    bot: None, ask: Any, model: ModelServer, admin_client: Client
) -> None:
    context_id = ask().json()["context_id"]
    page = admin_client.get(f"/admin/contexts/trace/{context_id}/change/").content.decode()
    assert "cost kind" in page
    assert json.dumps("estimated")[1:-1] in page  # a server on loopback, and the name of another one's model


def test_the_chart_has_a_bar_for_each_purpose() -> None:
    assert set(TONES) == set(Purpose)
