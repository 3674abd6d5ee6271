"""Sessions of embedded chat pages: a signed text that the page keeps, since a frame's cookies are often blocked.

The page sends it with each request, as `Authorization: Bearer fabra_ses_…`, so no other page can send one in its name,
and nothing depends on cookies.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core import signing

from chat.access.origins import is_one_of
from chat.access.permissions import CHAT_AS_USER, refusal_of_key
from chat.access.tokens import SiteUser
from chat.errors import OriginForbidden, SessionEnded
from chat.models import ApiKey, JoinedVisitor

PREFIX = "fabra_ses_"
_SALT = "chat.site_session"
_MAX_AGE_S = 365 * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class SiteSession:
    """Who has an embedded page, by which key, on which site."""

    key: ApiKey
    origin: str
    user: SiteUser


def issue(key: ApiKey, origin: str, user: SiteUser) -> str:
    """Return the session's text; it ends with the token that named the user, that of a visitor after a year."""
    expires_at = user.expires_at.timestamp() if user.expires_at else None
    body = {"key": key.pk, "origin": origin, "user": user.user_id, "signed": user.is_signed, "until": expires_at}
    return PREFIX + signing.dumps(body, salt=_SALT)


def read(text: str) -> SiteSession:
    """Return the session with its key as the database has it now.

    Raise SessionEnded, also if the key was revoked or the visitor has signed in meanwhile, or OriginForbidden if the
    key is not for the site any more.
    """
    body = _body(text)
    key = ApiKey.objects.select_related("owner").filter(pk=body["key"]).first()
    if key is None or not is_for_pages(key):
        raise SessionEnded
    if not is_one_of(body["origin"], key.origins):
        raise OriginForbidden(f"This public key may not be used by pages of {body['origin']}.")
    user_id, is_signed = body["user"], body["signed"]
    if not is_signed and JoinedVisitor.objects.filter(pk=user_id).exists():
        raise SessionEnded
    expires_at = datetime.fromtimestamp(body["until"], UTC) if body["until"] else None
    user = SiteUser(user_id=user_id, is_signed=is_signed, expires_at=expires_at)
    return SiteSession(key=key, origin=body["origin"], user=user)


def visitor_in(text: str, key: ApiKey) -> str | None:
    """Return the visitor's user id in a session of the key, also of one who has signed in; else None."""
    try:
        body = _body(text)
    except SessionEnded:
        return None
    return body["user"] if body["key"] == key.pk and not body["signed"] else None


def is_for_pages(key: ApiKey) -> bool:
    """Return whether pages may use the key: a public one for the chat that has not ended, and whose owner may chat."""
    # An owner who was deactivated has no permission.
    return key.is_usable and key.kind == ApiKey.Kind.PUBLIC and refusal_of_key(key, [CHAT_AS_USER]) is None


def _body(text: str) -> dict[str, Any]:
    if not text.isascii():  # what is signed is, and a lone surrogate cannot even be compared
        raise SessionEnded
    try:
        body: dict[str, Any] = signing.loads(text.removeprefix(PREFIX), salt=_SALT, max_age=_MAX_AGE_S)
    except signing.BadSignature:
        raise SessionEnded from None
    if body["until"] and datetime.now(UTC).timestamp() > body["until"]:
        raise SessionEnded
    return body
