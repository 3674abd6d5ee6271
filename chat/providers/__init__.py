"""Language models: what turns messages into an answer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from django.conf import settings

from chat.citations import Citation


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a model is asked."""

    messages: list[dict[str, str]]
    question: str
    passages: list[Citation]
    """The passages that are in the messages, best first."""


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What is known when the answer is complete."""

    model: str
    usage: dict[str, int] | None
    """prompt_tokens, completion_tokens, total_tokens, as the server counted them."""
    finish_reason: str | None


class Provider(Protocol):
    model: str
    is_extractive: bool

    def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]:
        """Yield the answer's text, in one piece or many, then one Completion; raise ModelError."""


def get_provider() -> Provider:
    """Return the configured model, or the extractive one where there is no key."""
    from chat.providers.extractive import ExtractiveProvider
    from chat.providers.openai import OpenAIProvider

    return OpenAIProvider(settings.FABRA_CHAT_MODEL) if settings.OPENAI_API_KEY else ExtractiveProvider()


def cost_usd(model: str, usage: dict[str, Any] | None) -> float | None:
    """Return the price of a call in US dollars; None where no price is set for the model."""
    prices = settings.FABRA_MODEL_PRICES.get(model)
    if prices is None or usage is None:
        return None
    return round((usage["prompt_tokens"] * prices[0] + usage["completion_tokens"] * prices[1]) / 1e6, 8)
