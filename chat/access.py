"""Permissions of the chat page: who may use it, and as which user."""

from typing import Any

from django.conf import settings

from chat.api.auth import is_open


def may_chat(user: Any, meta: dict[str, Any]) -> bool:
    """Return whether the visitor may chat: signed in, or the page is public, or development mode on loopback."""
    return bool(user and user.is_authenticated) or settings.FABRA_CHAT_PUBLIC or is_open(meta)


def may_choose_user(user: Any, meta: dict[str, Any]) -> bool:
    """Return whether the visitor may write as any user: staff, or development mode on loopback."""
    return bool(user and user.is_staff) or is_open(meta)


def user_id_of(user: Any, session_key: str | None) -> str:
    """Return the user id of a visitor who may not choose one."""
    return user.get_username() if user and user.is_authenticated else f"visitor:{session_key}"
