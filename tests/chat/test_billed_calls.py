"""What a server bills is counted, also where it gave no answer, with the context and the payer of each call."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from chat.conversations.summaries import summarise
from chat.cost_budgets.configured import budgets_of
from chat.cost_budgets.reservations import reserve
from chat.models import ApiKey, Message, ModelCall, ModelProvider
from chat.providers.configured import ModelConfig
from chat.spending.calls import Spender, most_usd
from chat.spending.sums import spent_since
from contexts.models import Trace
from tests.chat.test_model_choice import PROMPT
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db
COST = Decimal("0.00014")
"""The cost of each call: 100 tokens of input and 20 of output."""


@pytest.fixture(autouse=True)
def priced(settings: Any) -> None:
    settings.FABRA_MODEL_PRICES = {"gpt-4o-mini": [1, 2], "spare-model": [1, 2]}


@pytest.fixture
def spare(model: ModelServer) -> Iterator[ModelServer]:
    """A second model, which is asked where that of the environment fails."""
    server = ModelServer()
    ModelProvider.objects.create(name="spare", base_url=server.url, model="spare-model", retries=0)
    yield server
    server.close()


def rows() -> list[tuple[str, str, Decimal | None]]:
    return list(ModelCall.objects.order_by("pk").values_list("purpose", "provider", "cost_usd"))


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_model_that_spends_all_its_tokens_on_thinking_is_paid_for(
    is_streamed: bool, bot: None, ask: Any, streamed: Any, model: ModelServer, settings: Any
) -> None:
    settings.FABRA_BUDGETS = {"installation": {"day": 1}}
    model.behaviour = "think"
    if is_streamed:
        assert streamed()[-1][0] == "error"
    else:
        assert ask().json()["error"]["code"] == "model_failed"
    assert rows() == [("answer", "environment", COST)]
    (budget,) = budgets_of(Spender())
    assert async_to_sync(reserve)([budget], 1 - COST)
    trace = Trace.objects.get()
    assert trace.outcome is not None
    assert trace.outcome["attempts"][0]["usage"]["total_tokens"] == 120


def test_where_the_next_model_answers_both_are_paid_for(
    bot: None, ask: Any, model: ModelServer, spare: ModelServer
) -> None:
    model.behaviour = "think"
    body = ask().json()
    assert (body["response"], body["usage"]["cost_usd"]) == (spare.text, float(COST))
    assert rows() == [("answer", "environment", COST), ("answer", "spare", COST)]
    assert set(ModelCall.objects.values_list("trace_id", flat=True)) == {Trace.objects.get().pk}


def test_where_passages_are_quoted_in_the_end_the_model_is_paid_for(
    bot: None, ask: Any, model: ModelServer, settings: Any
) -> None:
    settings.FABRA_MODEL_FALLBACK, model.behaviour = "extractive", "think"
    body = ask().json()
    assert (body["extractive"], body["usage"]["cost_usd"]) == (True, None)
    assert rows() == [("answer", "environment", COST)]


def test_what_is_reserved_pays_for_all_models_that_may_be_asked(settings: Any) -> None:
    one, other = (ModelConfig(name=name, base_url="http://x", model="gpt-4o-mini") for name in ("one", "other"))
    assert most_usd([one, other], PROMPT) == 2 * most_usd([one], PROMPT) > 0


def test_the_call_of_a_rewriting_has_its_context_and_its_trace(
    bot: None, ask: Any, model: ModelServer, settings: Any
) -> None:
    settings.FABRA_REWRITE, settings.FABRA_BUDGETS = "model", {"tiers": {"premium": {"user_day": 1}}}
    first = ask().json()
    body = ask("And how long is it valid?", conversation_id=first["conversation_id"]).json()
    call = ModelCall.objects.get(purpose="rewrite")
    assert (call.context, str(call.trace_id)) == ("chat_context_premium", body["context_id"])
    (budget,) = budgets_of(Spender(user_id="user_123", tier="premium"))
    assert async_to_sync(reserve)([budget], 1 - 3 * COST)


def test_a_rewriting_that_failed_or_whose_message_was_refused_is_paid_for(
    bot: None, ask: Any, model: ModelServer, settings: Any
) -> None:
    settings.FABRA_REWRITE = "model"
    first = ask().json()
    model.scripts["Rewrite the user's last message"] = ("think", "")
    assert ask("And how long?", conversation_id=first["conversation_id"]).status_code == 200
    assert rows().count(("rewrite", "environment", COST)) == 1
    model.scripts.clear()
    settings.FABRA_BUDGETS = {"installation": {"day": 0.0025}}  # pays for the rewriting, not for the answer
    assert ask("And why?", conversation_id=first["conversation_id"]).status_code == 402
    assert rows().count(("rewrite", "environment", COST)) == 2


def test_the_budgets_of_the_answer_pay_for_its_conversations_summary(
    bot: None, ask: Any, model: ModelServer, settings: Any
) -> None:
    settings.FABRA_SUMMARIES = True
    key, _ = ApiKey.make("shop", ["chat"])
    first = ask().json()
    ask("And then?", conversation_id=first["conversation_id"])
    fallen = Message.objects.filter(role="user").earliest("pk").pk
    assert summarise(first["conversation_id"], fallen, "premium", key.pk, "chat_context_premium")
    call = ModelCall.objects.get(purpose="summary")
    assert (call.tier, call.key, call.context) == ("premium", key, "chat_context_premium")
    assert spent_since(call.created_at.date(), key=key.pk) == COST
