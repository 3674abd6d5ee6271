"""Authentication and permissions of the API: keys with scopes, sessions with permissions, development on loopback."""

from collections.abc import Collection, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.authentication import SessionAuthentication as DRFSessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from chat.access.callers import Caller
from chat.access.permissions import is_open, lacks_scope, may_use_api
from chat.limits.messages import count_request
from chat.models import ApiKey


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
    """Allow everyone where FABRA_API_DOCS says so, by default in development mode; else whoever may use the API."""

    message = "The API's schema is for API keys and for accounts with a permission of the API; FABRA_API_DOCS opens it."

    def has_permission(self, request: Request, view: Any) -> bool:
        is_public = settings.DEBUG if settings.FABRA_API_DOCS is None else settings.FABRA_API_DOCS
        return bool(is_public or isinstance(request.auth, ApiKey) or may_use_api(request.user))


class HasPermission(BasePermission):
    """Allow a session with the permission of the view's method, a key whose scopes and owner have it, or development.

    A view says in `permissions` what each method needs. A request with a key is also counted against the key's limit
    here, unless the view `counts_itself`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        needed = permissions_of(view, request.method or "GET")
        key = request.auth if isinstance(request.auth, ApiKey) else None
        if key is None:
            self.message, self.code = f"Your account needs the permission {', '.join(needed)}.", "permission_denied"
            return bool(request.user and request.user.has_perms(needed)) or is_open(request.META)
        if lacks_scope(key, needed):
            self.message, self.code = "This needs an API key with the scope of this endpoint.", "scope_missing"
            return False
        if key.owner is not None and not key.owner.has_perms(needed):
            self.message = f"The owner of this API key no longer has the permission {', '.join(needed)}."
            self.code = "permission_denied"
            return False
        Caller.of(request.META, key)  # refuses the address
        if not getattr(view, "counts_itself", False):
            count_request(key)
        return True


def permissions_of(view: Any, method: str) -> Collection[str]:
    """Return what a method of a view needs; for one that the view has not, what any of its methods needs."""
    declared: Mapping[str, str] = getattr(view, "permissions", {})
    if not declared:
        raise ImproperlyConfigured(f"{type(view).__name__} declares no permissions.")
    method = "GET" if method == "HEAD" else method
    return [declared[method]] if method in declared else [next(iter(declared.values()))]


def caller_of(request: Request) -> Caller:
    return Caller.of(request.META, request.auth if isinstance(request.auth, ApiKey) else None)
