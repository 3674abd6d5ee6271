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
from rest_framework.throttling import BaseThrottle

from chat.access import site_sessions, tokens
from chat.access.callers import Caller
from chat.access.permissions import holds, is_open, may_use_api, refusal_of_key
from chat.access.site_sessions import SiteSession
from chat.access.tokens import SiteUser
from chat.limits.messages import count_request
from chat.models import ApiKey
from chat.models.key_text import has_checksum


def why_refused(key: str) -> str:
    """Return the sentence about a key that is not usable."""
    if key.startswith(tuple(ApiKey.PREFIXES.values())) and not has_checksum(key):
        return "The API key is incomplete or mistyped: its checksum is wrong."
    return "The API key is unknown, revoked or expired."


class KeyHolder:
    """The `user` of a request with an API key."""

    is_authenticated = True
    is_staff = False
    pk = None

    def __init__(self, key: ApiKey, site_user: SiteUser | None = None) -> None:
        self.key = key
        self.site_user = site_user
        """Whom the site of a public key has signed, or has on its page."""

    def __str__(self) -> str:
        return f"API key {self.key.name}"


class ApiKeyAuthentication(BaseAuthentication):
    """Authenticate by `Authorization: Bearer fabra_…` or `X-API-Key`; an embedded page's session comes the same way.

    With a public key `X-Fabra-User` is the token by which the site names its user.
    """

    def authenticate(self, request: Request) -> tuple[KeyHolder, ApiKey | SiteSession] | None:
        scheme, _, key = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            key = request.headers.get("X-API-Key", "")
        if not key:
            return None
        key = key.strip()
        if key.startswith(site_sessions.PREFIX):
            session = site_sessions.read(key)
            return KeyHolder(session.key, session.user), session
        row = ApiKey.authenticate(key)
        if row is None:
            raise AuthenticationFailed(why_refused(key), code="invalid_api_key")
        token = request.META.get(tokens.HEADER) if row.kind == ApiKey.Kind.PUBLIC else None
        return KeyHolder(row, tokens.verify(token, row) if token else None), row

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

    message = (
        "The API's schema is for secret API keys and accounts with a permission of the API; FABRA_API_DOCS opens it."
    )

    def has_permission(self, request: Request, view: Any) -> bool:
        is_public = settings.DEBUG if settings.FABRA_API_DOCS is None else settings.FABRA_API_DOCS
        has_key = isinstance(request.auth, ApiKey) and request.auth.kind == ApiKey.Kind.SECRET
        return bool(is_public or has_key or may_use_api(request.user))


class HasPermission(BasePermission):
    """Allow a session with the permission of the view's method, a key whose scopes and owner have it, or development.

    A view says in `permissions` what each method needs.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        needed = permissions_of(view, request.method or "GET")
        key = request.auth if isinstance(request.auth, ApiKey) else None
        if isinstance(request.auth, SiteSession):
            self.message, self.code = "The session of an embedded page does not reach this.", "scope_missing"
            return False
        if key is None:
            self.message, self.code = f"Your account needs the permission {', '.join(needed)}.", "permission_denied"
            return holds(request.user, *needed) or is_open(request.META)
        if refusal := refusal_of_key(key, needed):
            self.code, self.message = refusal
            return False
        caller_of(request)  # refuses the address, or the page
        return True


class IsSignedIn(HasPermission):
    """Allow every account, secret key, or development: the project's default, for views of FABRA_APPS that say nothing.

    A public key, and the session of an embedded page, are in the hands of everybody who has the page open.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if hasattr(view, "permissions"):
            return super().has_permission(request, view)
        if isinstance(request.auth, SiteSession) or getattr(request.auth, "kind", "") == ApiKey.Kind.PUBLIC:
            self.message, self.code = "This needs an account, or a secret API key.", "permission_denied"
            return False
        if isinstance(request.auth, ApiKey):
            caller_of(request)  # refuses the address
            return True
        return bool(request.user.is_authenticated) or is_open(request.META)


class KeyThrottle(BaseThrottle):
    """Count a request with an API key against the key's limit, and as a use of it; raise RateLimited."""

    def allow_request(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, ApiKey):
            count_request(request.auth)
        return True


def permissions_of(view: Any, method: str) -> Collection[str]:
    """Return what a method of a view needs; for one that the view has not, what any of its methods needs."""
    declared: Mapping[str, str] = getattr(view, "permissions", {})
    if not declared:
        raise ImproperlyConfigured(f"{type(view).__name__} declares no permissions.")
    method = "GET" if method == "HEAD" else method
    return [declared[method]] if method in declared else [next(iter(declared.values()))]


def caller_of(request: Request) -> Caller:
    """Return the request's caller; raise as `Caller.of` and `Caller.embedded` do."""
    if isinstance(request.auth, SiteSession):
        return Caller.embedded(request.META, request.auth)
    if isinstance(request.auth, ApiKey):
        return Caller.of(request.META, request.auth, getattr(request.user, "site_user", None))
    return Caller.of(request.META)
