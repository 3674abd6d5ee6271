"""The rows of calls that gave text, or were billed without, with their cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from chat.errors import ModelError
from chat.models import ApiKey, ModelCall, Purpose
from chat.providers import Completion, Prompt, Provider
from chat.providers.configured import ModelConfig
from chat.providers.window import prompt_tokens
from chat.spending.prices import cost_of, price_of
from contexts.tokens import tokenizer_for


@dataclass(frozen=True, kw_only=True)
class Spender:
    """Who a call is made for."""

    user_id: str = ""
    tier: str | None = None
    """The user's; "" for one without, and None where it was not asked for, so that no budget of a tier applies."""
    key: ApiKey | None = None
    context: str = ""
    trace_id: str | None = None


def calls_of(
    spender: Spender, provider: Provider, prompt: Prompt, completion: Completion, text: str
) -> list[ModelCall]:
    """Return the unsaved rows of the calls that an answer took, the one that gave it last.

    Tokens are counted here if the server did not report them, which takes some milliseconds.
    """
    answered = call_of(spender, prompt.purpose, prompt, completion, text)
    return [*failed_calls(spender, prompt.purpose, provider), *([answered] if answered else [])]


def call_of(spender: Spender, purpose: Purpose, prompt: Prompt, completion: Completion, text: str) -> ModelCall | None:
    """Return the unsaved row of a call that ended, or was cut off after some text; None where no model answered.

    Tokens are counted here if the server did not report them, which takes some milliseconds.
    """
    config = completion.config
    if config is None:
        return None
    usage = completion.usage or counted_usage(config, prompt, text)
    return _row(spender, purpose, config, completion.model, usage, is_counted_here=completion.usage is None)


def failed_calls(spender: Spender, purpose: Purpose, provider: Provider) -> list[ModelCall]:
    """Return the unsaved rows of calls that gave no text, though their servers reported what they had used.

    A model that thinks may have spent all of its tokens on that.
    """
    return [
        billed_call(spender, purpose, attempt.config, attempt.error)
        for attempt in provider.attempts
        if attempt.config and attempt.error and attempt.error.usage and not attempt.has_text
    ]


def billed_call(spender: Spender, purpose: Purpose, config: ModelConfig, error: ModelError) -> ModelCall:
    """Return the unsaved row of a call that failed, and whose usage was reported."""
    assert error.usage is not None
    return _row(spender, purpose, config, error.answered_model, error.usage, is_counted_here=False)


def _row(
    spender: Spender, purpose: Purpose, config: ModelConfig, model: str, usage: dict[str, int], *, is_counted_here: bool
) -> ModelCall:
    cost_usd, kind = cost_of(config, model, usage, is_counted_here=is_counted_here)
    return ModelCall(
        purpose=purpose, provider=config.name, model=model[:200], context=spender.context, user_id=spender.user_id,
        tier=(spender.tier or "")[:50], key=spender.key, trace_id=spender.trace_id,
        prompt_tokens=usage["prompt_tokens"], completion_tokens=usage["completion_tokens"], cost_usd=cost_usd,
        kind=kind,
    )  # fmt: skip


def counted_usage(config: ModelConfig, prompt: Prompt, text: str) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens(config, prompt),
        "completion_tokens": tokenizer_for(config.model).count(text),
    }


def most_usd(models: Sequence[ModelConfig], prompt: Prompt) -> Decimal:
    """Return what an answer may cost at most; models without a price count nothing.

    It is what all of the models may cost together: one that spends its tokens and gives no text is billed, and the next
    is asked.
    """
    total = Decimal()
    for config in models:
        if price := price_of(config):
            most = {"prompt_tokens": prompt_tokens(config, prompt), "completion_tokens": prompt.most_tokens(config)}
            total += price.cost(most)
    return total


def usage_with_cost(completion: Completion, call: ModelCall | None) -> dict[str, Any]:
    """Return a call's usage as answers and traces have it."""
    if call is None:
        return {**(completion.usage or {}), "cost_usd": None}
    counted = {
        "prompt_tokens": call.prompt_tokens, "completion_tokens": call.completion_tokens,
        "total_tokens": call.prompt_tokens + call.completion_tokens,
    }  # fmt: skip
    return {
        **(completion.usage or counted),
        "cost_usd": None if call.cost_usd is None else float(call.cost_usd),
        "cost_kind": str(call.kind),
    }


def total_usd(calls: Sequence[ModelCall]) -> Decimal:
    """Return what calls cost together; those of an unknown cost count as nothing."""
    return sum((call.cost_usd for call in calls if call.cost_usd is not None), start=Decimal())
