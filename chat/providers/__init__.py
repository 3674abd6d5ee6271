"""Providers of language models, which turn messages into an answer."""

from chat.providers.chain import ProviderChain
from chat.providers.configured import configured_models
from chat.providers.extractive import ExtractiveProvider
from chat.providers.protocol import Completion, Delta, Prompt, Provider, whole_answer

__all__ = ["Completion", "Delta", "Prompt", "Provider", "get_provider", "whole_answer"]


async def get_provider(model: str = "") -> Provider:
    """Return who answers one message: the configured models in their order, those called `model` first.

    Where none is configured, it is the one that quotes passages.
    """
    found = await configured_models()
    if not found:
        return ExtractiveProvider()
    return ProviderChain(sorted(found, key=lambda config: config.model != model))
