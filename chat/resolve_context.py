"""Find the context that a chat calls."""

import importlib
from collections.abc import Awaitable, Callable
from functools import cache

from django.conf import settings

from common.errors import NotFound
from contexts.discovery import definition_modules
from contexts.items import Context
from contexts.registry import contexts

ChatContext = Callable[[str, str], Awaitable[Context]]


@cache
def chat_context() -> ChatContext:
    """Return the function named in FABRA_CHAT_CONTEXT, called with (user_id, query).

    It is the attribute of that name in a definitions module (so that a plain function may choose among contexts),
    otherwise the declared context of that name. Raise NotFound.
    """
    name = settings.FABRA_CHAT_CONTEXT
    for module in definition_modules():
        if callable(found := getattr(module, name, None)):
            return found
    spec = contexts.require(name)
    return getattr(importlib.import_module(spec.location.module), spec.function.__name__)


def require_context(value: object) -> Context:
    if not isinstance(value, Context) or not value.is_assembled:
        raise NotFound(f"{settings.FABRA_CHAT_CONTEXT!r} returned no assembled Context; declare it with @context.")
    return value
