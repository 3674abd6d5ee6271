"""Authentication and permissions of the API: keys with scopes, staff sessions, development mode on loopback."""

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.authentication import SessionAuthentication as DRFSessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from chat.models import ApiKey

_LOOPBACK = ("127.0.0.1", "::1")


def is_open(meta: dict[str, Any]) -> bool:
    """Return whether a request needs no key: in development mode, and from this machine."""
    return settings.DEBUG and meta.get("REMOTE_ADDR") in _LOOPBACK


class KeyHolder:
    """The `user` of a request with an API key."""

    is_authenticated = True
    is_staff = False
    pk = None

    def __init__(self, key: ApiKey) -> None:
        self.key = key

    def __str__(self) -> str:
        return f"API key {self.key.name}"


class ApiKeyAuthentication(BaseAuthentication):
    """Authenticate by `Authorization: Bearer fabra_…` or `X-API-Key`."""

    def authenticate(self, request: Request) -> tuple[KeyHolder, ApiKey] | None:
        scheme, _, key = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            key = request.headers.get("X-API-Key", "")
        if not key:
            return None
        row = ApiKey.authenticate(key.strip())
        if row is None:
            raise AuthenticationFailed("The API key is unknown, revoked or expired.", code="invalid_api_key")
        return KeyHolder(row), row

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class SessionAuthentication(DRFSessionAuthentication):
    """Authenticate by the admin's session, with its CSRF check."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """Describe API keys in the OpenAPI schema."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class SessionScheme(OpenApiAuthenticationExtension):
    """Describe the admin's session in the OpenAPI schema."""

    target_class = SessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


class MayReadSchema(BasePermission):
    """Allow everyone where FABRA_API_DOCS says so, by default in development mode; else staff and API keys."""

    message = "The API's schema is for staff and API keys; FABRA_API_DOCS opens it to everyone."

    def has_permission(self, request: Request, view: Any) -> bool:
        is_public = settings.DEBUG if settings.FABRA_API_DOCS is None else settings.FABRA_API_DOCS
        return bool(is_public or isinstance(request.auth, ApiKey) or (request.user and request.user.is_staff))


class HasScope(BasePermission):
    """Allow a key with the view's `scope`, a staff session, or development mode on loopback."""

    message = "This needs an API key with the scope of this endpoint."
    code = "scope_missing"

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, ApiKey):
            return view.scope in request.auth.scopes
        return bool(request.user and request.user.is_staff) or is_open(request.META)
