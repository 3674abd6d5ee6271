"""System check of the context that the chat calls."""

from typing import Any

from django.conf import settings
from django.core import checks

from chat.resolve_context import chat_context
from common.errors import NotFound


def check_chat_context(**kwargs: Any) -> list[checks.CheckMessage]:
    try:
        chat_context()
    except NotFound:
        return [
            checks.Warning(
                f"No definitions have the context {settings.FABRA_CHAT_CONTEXT!r} that /chat calls.",
                hint="Declare it with @context, or set FABRA_CHAT_CONTEXT to the name of one that is.",
                id="chat.W001",
            )
        ]
    return []
