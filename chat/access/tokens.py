"""Tokens by which the site of a public key names its user: JWTs that PyJWT verifies.

The key fixes the algorithm, so a token cannot choose `none`, or have a public key taken for a shared secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from django.conf import settings
from django.core.exceptions import ValidationError

from chat.errors import UserTokenExpired, UserTokenRefused
from chat.models import ApiKey, UserSigning
from chat.models.user_ids import RESERVED_PREFIXES
from common.errors import InvalidInput
from common.validation import check_identity

HEADER = "HTTP_X_FABRA_USER"
"""Where a request has the token, as Django's META names it."""
_LEEWAY = timedelta(seconds=30)
"""How far apart the clocks of the site and of this server may be."""
_MAX_CHARS = 8192


@dataclass(frozen=True, kw_only=True)
class SiteUser:
    """The only user that a request of a site acts for: a visitor, or whom the site has signed."""

    user_id: str
    subject: str = ""
    """What their site calls them: the id without the prefix that the site's users have here."""
    is_signed: bool = False
    expires_at: datetime | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)
    """What the site says of the user beside their id; what is not kept yet."""
    as_of: datetime | None = None
    """When it was said."""


def verify(token: str, key: ApiKey) -> SiteUser:
    """Return the user that a token names; raise UserTokenExpired or UserTokenRefused, which say what is wrong."""
    signing = UserSigning.objects.filter(key=key.pk).first()
    if signing is None:
        raise UserTokenRefused("This key has no signing secret; make one in the admin, under Signing of users.")
    if not token.isascii():  # a JWT is, and a lone surrogate cannot even be decoded
        raise UserTokenRefused("The token is no JWT with valid claims.")
    if len(token) > _MAX_CHARS:
        raise UserTokenRefused(f"The token has more than {_MAX_CHARS} characters.")
    claims = _claims_of(token, signing)
    _check_audience(claims["aud"], key)
    now = datetime.now(UTC)
    issued, expires = _moment(claims.get("iat"), "iat"), _moment(claims["exp"], "exp") or now
    longest = timedelta(seconds=settings.FABRA_USER_TOKEN_MAX_AGE_S)
    if expires - min(issued or now, now) > longest + _LEEWAY:
        raise UserTokenRefused(f"The token is valid for longer than {settings.FABRA_USER_TOKEN_MAX_AGE_S} seconds.")
    traits = claims.get("traits", {})
    if not isinstance(traits, dict):
        raise UserTokenRefused("traits must be an object.")
    subject, user_id = _ids_of(claims["sub"], signing.user_prefix)
    # Not the time of receipt: an older token that is sent again must not put back what a newer one has changed.
    as_of = min(issued or expires - longest, now)
    return SiteUser(user_id=user_id, subject=subject, is_signed=True, expires_at=expires, traits=traits, as_of=as_of)


def _claims_of(token: str, signing: UserSigning) -> dict[str, Any]:
    try:
        secrets = signing.verification_keys()
    except ValidationError:
        raise UserTokenRefused("The public key of this API key is none for EdDSA.") from None
    for secret in secrets:
        try:
            return jwt.decode(
                token, secret, algorithms=[signing.algorithm], leeway=_LEEWAY,
                # The audience is compared below, by the digest of the key that it names.
                options={"require": ["exp", "sub", "aud"], "verify_aud": False},
            )  # fmt: skip
        except jwt.ExpiredSignatureError:
            raise UserTokenExpired from None
        except jwt.InvalidSignatureError:
            continue  # the secret before this one, perhaps
        except jwt.InvalidAlgorithmError:
            raise UserTokenRefused(f"The token must be signed with {signing.algorithm}.") from None
        except jwt.MissingRequiredClaimError as error:
            raise UserTokenRefused(f"The token has no {error.claim}.") from None
        except jwt.exceptions.InvalidSubjectError:
            raise UserTokenRefused("The token's sub must be a string, the user's id.") from None
        except jwt.ImmatureSignatureError:
            raise UserTokenRefused("The token is not valid yet; compare the clocks of the two servers.") from None
        except jwt.InvalidTokenError:
            raise UserTokenRefused("The token is no JWT with valid claims.") from None
    raise UserTokenRefused("The token's signature does not fit the key.")


def _check_audience(audience: Any, key: ApiKey) -> None:
    given = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(claimed, str) and key.is_opened_by(claimed) for claimed in given):
        raise UserTokenRefused("The token's aud must be the public key that the page has.")


def _ids_of(sub: Any, prefix: str) -> tuple[str, str]:
    """Return the user's id as the site has it, and as this server does."""
    try:
        subject = check_identity(sub, "sub")
        user_id = check_identity(prefix + subject, "sub")
    except InvalidInput as error:
        raise UserTokenRefused(str(error)) from None
    if user_id.startswith(RESERVED_PREFIXES):
        raise UserTokenRefused(f"sub must not begin with {' or '.join(RESERVED_PREFIXES)}: those have no account.")
    return subject, user_id


def _moment(value: Any, name: str) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise UserTokenRefused(f"{name} must be a moment, in seconds since 1970.") from None
