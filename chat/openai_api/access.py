"""Who may use OpenAI's API here: whoever has a secret key for chats, a session, or development mode on loopback."""

from typing import Any

from rest_framework.request import Request

from chat.access.permissions import is_open
from chat.access.site_sessions import SiteSession
from chat.api.auth import ApiKeyAuthentication, ApiKeyScheme, HasPermission, KeyHolder
from chat.models import ApiKey

_OURS = "fabra_"


class BearerAuthentication(ApiKeyAuthentication):
    """Authenticate by a key; where none is needed, one that is not ours is none.

    OpenAI's clients cannot do without a key, so that people give them any word.
    """

    def authenticate(self, request: Request) -> tuple[KeyHolder, ApiKey | SiteSession] | None:
        key = request.headers.get("Authorization", "").partition(" ")[2].strip()
        if is_open(request.META) and not key.startswith(_OURS) and not request.headers.get("X-API-Key"):
            return None
        return super().authenticate(request)


class BearerScheme(ApiKeyScheme):
    """Describe secret keys in the OpenAPI schema."""

    target_class = BearerAuthentication
    name = "secretKey"


class HasPermissionBySecretKey(HasPermission):
    """Refuse a public key: everybody can read it, and whoever asks here says who they are."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, ApiKey) and request.auth.kind != ApiKey.Kind.SECRET:
            self.message = "This is a public key, for the pages of its origins; here a secret key is needed."
            self.code = "secret_key_needed"
            return False
        return super().has_permission(request, view)
