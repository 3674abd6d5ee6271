"""Find the context that a chat calls."""

import importlib
import inspect
from collections.abc import Awaitable, Callable
from functools import cache

from django.conf import settings

from common.errors import NotFound
from contexts.conversation import ConversationHistory
from contexts.discovery import definition_modules
from contexts.items import Context
from contexts.registry import contexts

ChatContext = Callable[..., Awaitable[Context]]
"""Called with (user_id, query), and with `conversation` if it takes that."""


@cache
def chat_context() -> ChatContext:
    """Return the function named in FABRA_CHAT_CONTEXT.

    It is the attribute of that name in a definitions module (so that a plain function may choose among contexts),
    otherwise the declared context of that name. Raise NotFound.
    """
    name = settings.FABRA_CHAT_CONTEXT
    for module in definition_modules():
        if callable(found := getattr(module, name, None)):
            return found
    spec = contexts.require(name)
    return getattr(importlib.import_module(spec.location.module), spec.function.__name__)


async def call_chat_context(user_id: str, query: str, history: ConversationHistory | None) -> Context:
    """Call the chat's context; a function with a parameter `conversation` gets what was said before."""
    function = chat_context()
    if "conversation" in inspect.signature(function).parameters:
        return await function(user_id, query, conversation=history or ConversationHistory(query=query))
    return await function(user_id, query)


def require_context(value: object) -> Context:
    if not isinstance(value, Context) or not value.is_assembled:
        raise NotFound(f"{settings.FABRA_CHAT_CONTEXT!r} returned no assembled Context; declare it with @context.")
    return value
