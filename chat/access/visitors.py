"""Visitors without an account: each has a random id of its own, in a signed cookie."""

import secrets
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpResponseBase

from chat.models.user_ids import VISITOR_PREFIX

COOKIE = "fabra_visitor"
_MAX_AGE_S = 365 * 24 * 3600
SALT = "chat.visitor"


def new_visitor() -> str:
    return secrets.token_urlsafe(16)


def visitor_of(cookies: Mapping[str, str]) -> str | None:
    """Return the visitor's id; None without a cookie, or with one that this server did not sign."""
    try:
        return signing.TimestampSigner(salt=SALT).unsign(cookies.get(COOKIE, ""), max_age=_MAX_AGE_S)
    except signing.BadSignature:
        return None


def remember(response: HttpResponseBase, visitor: str) -> None:
    response.set_cookie(
        COOKIE,
        signing.TimestampSigner(salt=SALT).sign(visitor),
        max_age=_MAX_AGE_S,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def user_id_of(user: Any, visitor: str) -> str:
    """Return the user id of whoever may not choose one."""
    return user.get_username() if user and user.is_authenticated else f"{VISITOR_PREFIX}{visitor}"
