"""System checks of the context that the chat calls, and of its settings."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

from chat.bots.defaults import wrong_bot
from chat.conversations.rewriting import MODEL
from chat.limits.budget_settings import wrong_budgets
from chat.providers.chain import EXTRACTIVE
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
    try:
        if not settings.FABRA_AUDIENCES or callable(import_string(settings.FABRA_AUDIENCES)):
            return []
        reason = "is no function"
    except ImportError as error:
        reason = str(error)
    return [
        checks.Error(
            f"FABRA_AUDIENCES is {settings.FABRA_AUDIENCES!r}: {reason}.",
            hint="Set it to the dotted path of a function that takes a user and returns names, or leave it empty.",
            id="chat.E002",
        )
    ]


def check_rewrite(**kwargs: Any) -> list[checks.CheckMessage]:
    if settings.FABRA_REWRITE in ("", MODEL):
        return []
    return [
        checks.Error(
            f"FABRA_REWRITE is {settings.FABRA_REWRITE!r}.",
            hint=f"Set it to {MODEL!r}, or leave it empty.",
            id="chat.E001",
        )
    ]


def check_budgets(**kwargs: Any) -> list[checks.CheckMessage]:
    if not (wrong := wrong_budgets(settings.FABRA_BUDGETS)):
        return []
    return [
        checks.Error(
            f"FABRA_BUDGETS has {wrong}.",
            hint='It looks like {"installation": {"day": 20}, "tiers": {"free": {"month": 90, "user_day": 0.1}}}.',
            id="chat.E003",
        )
    ]


def check_bot(**kwargs: Any) -> list[checks.CheckMessage]:
    if not (wrong := wrong_bot(settings.FABRA_BOT)):
        return []
    return [
        checks.Error(
            f"FABRA_BOT {wrong}.",
            hint='It looks like {"name": "Harbour help", "accent": "#0b6e69", "greeting": "Ahoy!"}.',
            id="chat.E005",
        )
    ]


def check_model_fallback(**kwargs: Any) -> list[checks.CheckMessage]:
    if settings.FABRA_MODEL_FALLBACK in ("", EXTRACTIVE):
        return []
    return [
        checks.Error(
            f"FABRA_MODEL_FALLBACK is {settings.FABRA_MODEL_FALLBACK!r}.",
            hint=f"Set it to {EXTRACTIVE!r}, or leave it empty.",
            id="chat.E004",
        )
    ]
