"""Who holds a WebSocket, and what they may do: read anew for each message, since a socket outlives a session."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.contrib.auth.models import AnonymousUser
from django.utils.crypto import constant_time_compare

from chat.access.permissions import may_chat, may_choose_user, may_trace

SIGNED_OUT, FORBIDDEN = 4401, 4403
"""Codes of closing: the session has ended, or it may not (or no longer) do what it could."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A user, or None for a visitor, and their rights."""

    user_pk: Any
    may_chat: bool
    may_choose: bool
    may_trace: bool

    def change_since(self, before: "Standing") -> tuple[int, str] | None:
        """Return the code and the sentence with which the socket closes; None if nothing has changed."""
        if self.user_pk != before.user_pk:
            return SIGNED_OUT, "You are no longer signed in."
        if self != before:
            return FORBIDDEN, "What you may do here has changed."
        return None


def read_standing(session_key: str | None, meta: dict[str, Any]) -> tuple[Any, Standing]:
    """Return the session's user as the database has them now, and their standing."""
    user = user_of_session(session_key)
    standing = Standing(
        user_pk=user.pk,
        may_chat=may_chat(user, meta),
        may_choose=may_choose_user(user, meta),
        may_trace=may_trace(user, meta),
    )
    return user, standing


def user_of_session(session_key: str | None) -> Any:
    """Return the active user whose session this is; AnonymousUser if it has ended or their password was changed.

    Django's `get_user` would renew the key of a session that was signed with a former SECRET_KEY, which the browser
    of an open socket could not be told.
    """
    if not session_key:
        return AnonymousUser()
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    backend = session.get(BACKEND_SESSION_KEY)
    if backend not in settings.AUTHENTICATION_BACKENDS:
        return AnonymousUser()
    pk = get_user_model()._meta.pk.to_python(session[SESSION_KEY])
    user = load_backend(backend).get_user(pk)
    if user is None:
        return AnonymousUser()
    known = session.get(HASH_SESSION_KEY, "")
    valid = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return user if any(constant_time_compare(known, known_hash) for known_hash in valid) else AnonymousUser()
