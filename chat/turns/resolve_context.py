"""Find the context that a chat calls."""

import importlib
import inspect
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from django.conf import settings

from common.errors import NotFound
from contexts.conversation import ConversationHistory
from contexts.discovery import definition_modules
from contexts.items import Context
from contexts.registry import contexts

ChatContext = Callable[..., Awaitable[Context]]
"""Called with (user_id, query), and with `conversation` and the bot's `index` if it takes them."""


def chat_context(name: str = "") -> ChatContext:
    """Return the function of the declared context `name`; without a name, what FABRA_CHAT_CONTEXT names.

    The setting may also name any function of a definitions module, so that a plain function may choose among contexts;
    what a client asks for is a declared context, and nothing else. Raise NotFound.
    """
    if name and name != settings.FABRA_CHAT_CONTEXT:
        return _declared(name)
    return configured_context(settings.FABRA_CHAT_CONTEXT)


@cache
def configured_context(name: str) -> ChatContext:
    for module in definition_modules():
        if callable(found := getattr(module, name, None)):
            return found
    return _declared(name)


def _declared(name: str) -> ChatContext:
    spec = contexts.require(name)
    return getattr(importlib.import_module(spec.location.module), spec.function.__name__)


def model_of(context: str) -> str:
    """Return the model that a declared context names, or that of FABRA_CHAT_CONTEXT for ""; "" if it names none."""
    spec = contexts.get(context or settings.FABRA_CHAT_CONTEXT)
    return spec.asked_model if spec else ""


def takes_index(name: str) -> bool:
    """Return whether a chat's context has a parameter `index`, so that a bot can say what it searches."""
    return "index" in inspect.signature(chat_context(name)).parameters


async def call_chat_context(
    user_id: str, query: str, history: ConversationHistory | None, *, name: str = "", index: str = ""
) -> Context:
    """Call a chat's context.

    A function with a parameter `conversation` gets what was said before, and one with `index` that of the bot, if the
    bot has one.
    """
    function = chat_context(name)
    taken = inspect.signature(function).parameters
    more: dict[str, Any] = {}
    if "conversation" in taken:
        more["conversation"] = history or ConversationHistory(query=query)
    if index and "index" in taken:
        more["index"] = index
    return await function(user_id, query, **more)


def require_context(value: object, name: str = "") -> Context:
    if not isinstance(value, Context) or not value.is_assembled:
        raise NotFound(
            f"{name or settings.FABRA_CHAT_CONTEXT!r} returned no assembled Context; declare it with @context."
        )
    return value
