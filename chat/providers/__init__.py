"""Providers of language models, which turn messages into an answer."""

from typing import Any

from django.conf import settings

from chat.providers.chain import ProviderChain
from chat.providers.configured import configured_models
from chat.providers.extractive import ExtractiveProvider
from chat.providers.protocol import Completion, Delta, Prompt, Provider, whole_answer

__all__ = ["Completion", "Delta", "Prompt", "Provider", "cost_usd", "get_provider", "whole_answer"]


async def get_provider(model: str = "") -> Provider:
    """Return who answers one message: the configured models in their order, those called `model` first.

    Where none is configured, it is the one that quotes passages.
    """
    found = await configured_models()
    if not found:
        return ExtractiveProvider()
    return ProviderChain(sorted(found, key=lambda config: config.model != model))


def cost_usd(model: str, usage: dict[str, Any] | None) -> float | None:
    """Return the price of a call in US dollars; None if no price is set for the model or the usage is unknown."""
    prices = settings.FABRA_MODEL_PRICES.get(model)
    if prices is None or usage is None:
        return None
    return round((usage["prompt_tokens"] * prices[0] + usage["completion_tokens"] * prices[1]) / 1e6, 8)
