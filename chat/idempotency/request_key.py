"""The Idempotency-Key of a request: its form, whose it is, and what it was sent with."""

import hashlib
import re
import uuid
from dataclasses import dataclass

from django.http.request import RawPostDataException
from rest_framework.request import Request

from chat.errors import IdempotencyKeyInvalid
from chat.models import ApiKey
from chat.models.user_ids import USER_HEADERS
from common.validation import to_json

HEADER = "Idempotency-Key"
MAX_CHARS = 255
# A string of structured fields (RFC 9651), as the draft wants it, or bare, as most clients send it.
_QUOTED = rf'"([ !#-\[\]-~]|\\["\\]){{1,{MAX_CHARS}}}"'
_BARE = rf"[!#-+\--\[\]-~]{{1,{MAX_CHARS}}}"
PATTERN = f"^({_QUOTED}|{_BARE})$"
"""The pattern of the header, which the schema publishes, too."""
_CONDITIONS = ("If-Match", "If-None-Match")
_NAMESPACE = uuid.UUID("5a1c6a0e-5a9b-4f0e-9d52-0b6a2f0c7d11")


@dataclass(frozen=True, kw_only=True)
class RequestKey:
    digest: str
    """SHA-256 of the caller and the key."""
    fingerprint: str
    """SHA-256 of what must be the same in a repeated request."""

    @property
    def request_id(self) -> uuid.UUID:
        """The same for each repetition of the request."""
        return uuid.uuid5(_NAMESPACE, self.digest + self.fingerprint)


def key_of(request: Request) -> RequestKey | None:
    """Return the request's key; None if it has none. Raise IdempotencyKeyInvalid."""
    text = request.headers.get(HEADER)
    if text is None:
        return None
    key = text.strip()
    if not re.fullmatch(PATTERN, key):
        raise IdempotencyKeyInvalid
    if key.startswith('"'):
        key = re.sub(r"\\(.)", r"\1", key[1:-1])
    return RequestKey(digest=_sha256([_scope_of(request), key]), fingerprint=_fingerprint_of(request))


def _scope_of(request: Request) -> str:
    """Return who the caller is: a key is theirs alone."""
    site_user = getattr(request.user, "site_user", None)  # those of one public key are strangers to each other
    if isinstance(request.auth, ApiKey):
        return f"key {request.auth.pk}" + (f" {site_user.user_id}" if site_user else "")
    return f"user {request.user.pk}" if request.user and request.user.is_authenticated else "development"


def _fingerprint_of(request: Request) -> str:
    try:
        body = request.body
    except RawPostDataException:  # a form, which was parsed to look for a CSRF token; no endpoint takes one
        body = b""
    conditions = [request.headers.get(name, "") for name in _CONDITIONS]
    # A site's token is another one with each renewal; who it names is a part of the scope.
    users = [] if getattr(request.user, "site_user", None) else [request.headers.get(name) for name in USER_HEADERS]
    said = [*conditions, *filter(None, users), hashlib.sha256(body).hexdigest()]
    return _sha256([request.method, request.get_full_path(), *said])


def _sha256(parts: list[str | None]) -> str:
    return hashlib.sha256(to_json(parts, HEADER).encode()).hexdigest()
