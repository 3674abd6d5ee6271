"""What tests of embedding sites share: a public key with its secret, and tokens of its site."""

import time
from dataclasses import dataclass
from typing import Any

import jwt
from django.test import Client

from chat.models import ApiKey, UserSigning

ORIGIN = "https://shop.example.com"


@dataclass(frozen=True, kw_only=True)
class Site:
    row: ApiKey
    key: str
    signing: UserSigning

    def claims(self, user_id: Any = "user_123", **more: Any) -> dict[str, Any]:
        return {"sub": user_id, "aud": self.key, "exp": int(time.time()) + 300} | more

    def token(self, user_id: Any = "user_123", secret: Any = None, algorithm: str = "HS256", **more: Any) -> str:
        return jwt.encode(self.claims(user_id, **more), secret or self.signing.secret, algorithm=algorithm)

    def begin(self, client: Client, **more: Any) -> Any:
        """Post to /embed/session."""
        body = {"key": self.key, "origin": ORIGIN} | more
        return client.post("/embed/session", body, content_type="application/json")

    def session(self, client: Client, **more: Any) -> dict[str, Any]:
        response = self.begin(client, **more)
        assert response.status_code == 200, response.content
        return response.json()

    def headers(self, token: str = "", origin: str = ORIGIN, **others: str) -> dict[str, str]:
        """Return what a page of the site sends with a call of its own."""
        found = {"Authorization": f"Bearer {self.key}", "Origin": origin, **others}
        return found | ({"X-Fabra-User": token} if token else {})


def make_site(user_prefix: str | None = "", **bounds: Any) -> Site:
    """Return a site whose users have their ids as it names them; with None its key has a prefix of its own."""
    row, key = ApiKey.make("shop", ["chat"], kind="public", **{"origins": [ORIGIN], **bounds})
    signing = {} if user_prefix is None else {"user_prefix": user_prefix}
    return Site(row=row, key=key, signing=UserSigning.objects.create(key=row, **signing))
