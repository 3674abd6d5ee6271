"""System checks of the context that the chat calls, and of its settings."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

from chat.bots.defaults import wrong_bot
from chat.conversations.rewriting import MODEL
from chat.cost_budgets.configured import wrong_budgets
from chat.providers.chain import EXTRACTIVE
from chat.providers.of_settings import wrong_models
from chat.turns.resolve_context import chat_context
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


def check_audiences(**kwargs: Any) -> list[checks.CheckMessage]:
    reason = "is no function"
    try:
        if not settings.FABRA_AUDIENCES or callable(import_string(settings.FABRA_AUDIENCES)):
            return []
    except ImportError as error:
        reason = str(error)
    return _error(
        f"FABRA_AUDIENCES is {settings.FABRA_AUDIENCES!r}: {reason}.",
        "Set it to the dotted path of a function that takes a user and returns names, or leave it empty.",
        "chat.E002",
    )


def check_rewrite(**kwargs: Any) -> list[checks.CheckMessage]:
    return _one_of("FABRA_REWRITE", MODEL, "chat.E001")


def check_model_fallback(**kwargs: Any) -> list[checks.CheckMessage]:
    return _one_of("FABRA_MODEL_FALLBACK", EXTRACTIVE, "chat.E004")


def check_budgets(**kwargs: Any) -> list[checks.CheckMessage]:
    wrong = wrong_budgets(settings.FABRA_BUDGETS)
    hint = 'It looks like {"installation": {"day": 20}, "tiers": {"free": {"month": 90, "user_day": 0.1}}}.'
    return _error(f"FABRA_BUDGETS has {wrong}.", hint, "chat.E003") if wrong else []


def check_bot(**kwargs: Any) -> list[checks.CheckMessage]:
    wrong = wrong_bot(settings.FABRA_BOT)
    hint = 'It looks like {"name": "Harbour help", "accent": "#0b6e69", "greeting": "Ahoy!"}.'
    return _error(f"FABRA_BOT {wrong}.", hint, "chat.E005") if wrong else []


def check_models(**kwargs: Any) -> list[checks.CheckMessage]:
    hint = 'It looks like [{"name": "local", "base_url": "http://127.0.0.1:11434/v1", "model": "llama3.2"}].'
    return [error for wrong in wrong_models() for error in _error(f"FABRA_MODELS, {wrong}", hint, "chat.E006")]


def _one_of(setting: str, value: str, check_id: str) -> list[checks.CheckMessage]:
    """Return the error of a setting that is neither the one value that it may have nor empty."""
    found = getattr(settings, setting)
    hint = f"Set it to {value!r}, or leave it empty."
    return [] if found in ("", value) else _error(f"{setting} is {found!r}.", hint, check_id)


def _error(message: str, hint: str, check_id: str) -> list[checks.CheckMessage]:
    return [checks.Error(message, hint=hint, id=check_id)]
