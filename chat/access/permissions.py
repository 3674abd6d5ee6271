"""Who may do what: the permissions of sessions and of API keys, development mode, and the chat page."""

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, PermissionsMixin

from chat.models import ApiKey
from common.client_address import Address, client_address

CHAT_AS_USER = "chat.chat_as_user"
"""Choose whom to be in a chat: the page's list of users, and the `user_id` of `POST /chat`."""
ANSWER_CONVERSATION = "chat.answer_conversation"
"""Take a conversation over from the bot."""
REASSIGN_CONVERSATION = "chat.reassign_conversation"
"""Pass on, hand back or close what a colleague holds."""
VIEW_TRACE = "contexts.view_trace"

SCOPES: dict[str, frozenset[str]] = {
    ApiKey.Scope.CHAT: frozenset({CHAT_AS_USER}),
    ApiKey.Scope.SEARCH: frozenset({"retrieval.view_document"}),
    ApiKey.Scope.INGEST: frozenset(
        {
            "retrieval.view_document",
            "retrieval.change_document",
            "retrieval.delete_document",
            "events.view_event",
            "events.add_event",
        }
    ),
    ApiKey.Scope.DEBUG: frozenset({VIEW_TRACE, "features.view_featurevalue"}),
    ApiKey.Scope.DESK: frozenset({ANSWER_CONVERSATION}),
}
"""The permissions that each scope of a key stands for; a session needs them themselves."""


def holds(user: Any, *permissions: str) -> bool:
    """Return whether a user has all of the permissions; one of a user model without any has none."""
    has_perms = getattr(user, "has_perms", None)
    return bool(has_perms and has_perms(permissions))


_LOOPBACK = ("127.0.0.1", "::1")
_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")


def address_of(meta: dict[str, Any]) -> Address | None:
    """Return the address of whoever sent the request, by its META."""
    return client_address(meta.get("REMOTE_ADDR"), meta.get("HTTP_X_FORWARDED_FOR"))


def is_open(meta: dict[str, Any]) -> bool:
    """Return whether a request needs no key: in development mode, and from this machine, not through a proxy on it."""
    is_local = meta.get("REMOTE_ADDR") in _LOOPBACK and not any(name in meta for name in _FORWARDED)
    return settings.DEBUG and is_local


def permissions_of_scopes(key: ApiKey) -> frozenset[str]:
    """Return what the key's scopes stand for; a public key chats, and no more, whatever they are."""
    scopes = [ApiKey.Scope.CHAT] if key.kind == ApiKey.Kind.PUBLIC else key.scopes
    return frozenset[str]().union(*(SCOPES.get(scope, ()) for scope in scopes if scope in key.scopes))


def refusal_of_key(key: ApiKey, needed: Collection[str]) -> tuple[str, str] | None:
    """Return the code and the sentence of why the key may not do what needs these permissions; None if it may."""
    if not permissions_of_scopes(key).issuperset(needed):
        return "scope_missing", "This needs an API key with the scope of this endpoint."
    if key.owner is not None and not holds(key.owner, *needed):
        text = f"The owner of this API key no longer has the permission {', '.join(needed)}."
        return "permission_denied", text
    return None


def may_hold(user: Any, key: ApiKey) -> bool:
    """Return whether the user may get the key's secret: they may do all that it may."""
    held = permissions_of_scopes(key)
    if key.owner is not None:
        held = frozenset(name for name in held if holds(key.owner, name))
    return holds(user, *held)


def may_use_api(user: Any) -> bool:
    """Return whether an account may call any endpoint that is not for everyone; the holder of a key is none."""
    if not isinstance(user, PermissionsMixin | AnonymousUser):
        return False
    return any(user.has_perm(permission) for held in SCOPES.values() for permission in held)


def may_chat(user: Any, meta: dict[str, Any]) -> bool:
    """Return whether the visitor may chat: signed in, or the page is public, or development mode on loopback."""
    return bool(user and user.is_authenticated) or settings.FABRA_CHAT_PUBLIC or is_open(meta)


def may_choose_user(user: Any, meta: dict[str, Any]) -> bool:
    """Return whether the visitor may write as any user: by permission, or development mode on loopback."""
    return holds(user, CHAT_AS_USER) or is_open(meta)


def may_open_inbox(user: Any) -> bool:
    """Return whether the user may answer customers in the inbox, which is a page of the admin."""
    return bool(user and user.is_active and user.is_staff and user.has_perm(ANSWER_CONVERSATION))


def may_trace(user: Any, meta: dict[str, Any]) -> bool:
    """Return whether the visitor may see what the model got: the trace, which is a page of the admin."""
    return (getattr(user, "is_staff", False) and holds(user, VIEW_TRACE)) or is_open(meta)
