"""The token by which this site names its user to the chat."""

import time
from typing import Any

import jwt

from fabra_site.conf import called, setting

_VALID_FOR_S = 300


def token_for(user: Any) -> str:
    """Return a token of five minutes for a signed-in user of this site."""
    now = int(time.time())
    claims = {
        "sub": str(called("USER_ID", user) or user.pk),
        "aud": setting("PUBLIC_KEY"),
        "iat": now,
        "exp": now + _VALID_FOR_S,
        "traits": called("TRAITS", user) or {},
    }
    return jwt.encode(claims, setting("SIGNING_SECRET"), algorithm="HS256")
