"""Who may use the chat page, and as whom."""

from typing import Any

from django.conf import settings

from chat.api.auth import is_open


def may_chat(user: Any, meta: dict[str, Any]) -> bool:
    """Signed in, or the page is public, or this is development on loopback."""
    return bool(user and user.is_authenticated) or settings.FABRA_CHAT_PUBLIC or is_open(meta)


def may_choose_user(user: Any, meta: dict[str, Any]) -> bool:
    """Staff, and development on loopback, may write as any user."""
    return bool(user and user.is_staff) or is_open(meta)


def user_id_of(user: Any, session_key: str | None) -> str:
    """Return the user id of somebody who may not choose one."""
    return user.get_username() if user and user.is_authenticated else f"visitor:{session_key}"
