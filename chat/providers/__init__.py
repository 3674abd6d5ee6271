"""Providers of language models, which turn messages into an answer."""

from typing import Any

from django.conf import settings

from chat.providers.extractive import ExtractiveProvider
from chat.providers.openai import OpenAIProvider
from chat.providers.protocol import Completion, Delta, Prompt, Provider, whole_answer

__all__ = ["Completion", "Delta", "Prompt", "Provider", "cost_usd", "get_provider", "whole_answer"]


def get_provider() -> Provider:
    """Return the configured model's provider, or the extractive one if there is no API key."""
    return OpenAIProvider(settings.FABRA_CHAT_MODEL) if settings.OPENAI_API_KEY else ExtractiveProvider()


def cost_usd(model: str, usage: dict[str, Any] | None) -> float | None:
    """Return the price of a call in US dollars; None if no price is set for the model or the usage is unknown."""
    prices = settings.FABRA_MODEL_PRICES.get(model)
    if prices is None or usage is None:
        return None
    return round((usage["prompt_tokens"] * prices[0] + usage["completion_tokens"] * prices[1]) / 1e6, 8)
