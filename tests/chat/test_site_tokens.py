"""Tokens by which a site names its user: what is accepted, and what is refused with which code."""

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.exceptions import ValidationError

from chat.access.tokens import verify
from chat.errors import UserTokenExpired, UserTokenRefused
from chat.models import UserSigning
from tests.chat.sites import Site, make_site

pytestmark = pytest.mark.django_db
NOW = int(time.time())


@pytest.fixture
def site() -> Site:
    return make_site()


def pem(private: Ed25519PrivateKey) -> str:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def use_key_pair(site: Site, *pairs: Ed25519PrivateKey) -> None:
    site.signing.algorithm, site.signing.public_keys = "EdDSA", "\n".join(pem(pair) for pair in pairs)
    site.signing.full_clean()
    site.signing.save()


def test_a_token_names_the_user_and_says_what_the_site_knows(site: Site) -> None:
    user = verify(site.token("Jose\u0301", iat=NOW - 5, traits={"plan": "team"}), site.row)
    assert (user.user_id, user.is_signed, user.traits) == ("José", True, {"plan": "team"})
    assert user.as_of and user.as_of.timestamp() == NOW - 5
    assert user.expires_at and user.expires_at.timestamp() > NOW


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"aud": "fabra_pub_of-another-site"}, "aud"),
        ({"aud": None}, "aud"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub must be a string"),
        ({"sub": " user_123"}, "sub"),
        ({"sub": "visitor:abc"}, "visitor:"),
        ({"sub": "key:7"}, "key:"),
        ({"sub": "x" * 300}, "sub"),
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, "valid claims"),
        ({"exp": NOW + 7 * 24 * 3600}, "longer than 3600 seconds"),
        ({"iat": NOW - 24 * 3600}, "longer than 3600 seconds"),
        ({"iat": NOW + 3600}, "clocks"),
        ({"nbf": NOW + 3600}, "clocks"),
        ({"traits": ["plan"]}, "traits"),
        ({"traits": {"long": "x" * 9000}}, "8192 characters"),
    ],
)
def test_a_token_that_says_something_wrong_is_refused_with_what_it_is(
    site: Site, claims: dict[str, Any], words: str
) -> None:
    given = {name: value for name, value in site.claims(**claims).items() if value is not None}
    token = jwt.api_jws.encode(json.dumps(given).encode(), site.signing.secret, "HS256")
    with pytest.raises(UserTokenRefused, match=words):
        verify(token, site.row)


def test_an_expired_token_has_a_code_of_its_own(site: Site) -> None:
    with pytest.raises(UserTokenExpired):
        verify(site.token(exp=NOW - 3600), site.row)
    assert verify(site.token(exp=int(time.time()) - 5), site.row).user_id == "user_123"  # clocks differ a little


def test_no_algorithm_but_the_keys_own_is_accepted(site: Site) -> None:
    pair = Ed25519PrivateKey.generate()

    def segment(part: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")

    for algorithm in ("none", "None"):
        unsigned = f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{segment(site.claims())}."
        with pytest.raises(UserTokenRefused):
            verify(unsigned, site.row)
    with pytest.raises(UserTokenRefused, match="HS256"):
        verify(site.token(secret=site.signing.secret * 2, algorithm="HS512"), site.row)
    with pytest.raises(UserTokenRefused, match="HS256"):
        verify(site.token(secret=pair, algorithm="EdDSA"), site.row)
    use_key_pair(site, pair)
    assert verify(site.token(secret=pair, algorithm="EdDSA"), site.row).user_id == "user_123"
    # The public key, which is no secret, taken for one.
    body = f"{segment({'alg': 'HS256', 'typ': 'JWT'})}.{segment(site.claims())}"
    signature = hmac.new(pem(pair).encode(), body.encode(), hashlib.sha256).digest()
    confused = f"{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    with pytest.raises(UserTokenRefused, match="EdDSA"):
        verify(confused, site.row)


def test_what_is_no_token_is_refused(site: Site) -> None:
    good = site.token()
    for token in (
        "x",
        "a.b.c",
        "",
        good[:-4],
        good + "A",
        f"{good}.{good}",
        "é.é.é",
        f"{good}\ud800",
        good.replace(".", "..", 1),
    ):
        with pytest.raises(UserTokenRefused):
            verify(token, site.row)
    other = make_site()
    with pytest.raises(UserTokenRefused, match="signature"):
        verify(other.token(aud=site.key), site.row)


def test_the_secret_before_the_present_one_is_valid_for_a_while(site: Site, settings: Any) -> None:
    before = site.token()
    assert site.signing.rotate(timedelta(days=1)).startswith("fabra_sig_")
    assert verify(before, site.row).user_id == verify(site.token(), site.row).user_id == "user_123"
    site.signing.end_previous()
    with pytest.raises(UserTokenRefused, match="signature"):
        verify(before, site.row)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    signed_before = jwt.encode(
        site.claims(), UserSigning._secret(site.signing, site.signing.nonce, settings.SECRET_KEY_FALLBACKS[0])
    )
    assert verify(signed_before, site.row).user_id == "user_123"


def test_two_key_pairs_are_valid_during_a_rotation_and_nothing_else_is_a_public_key(site: Site) -> None:
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    use_key_pair(site, old, new)
    for pair in (old, new):
        assert verify(site.token(secret=pair, algorithm="EdDSA"), site.row).user_id == "user_123"
    for text in ("", "nothing", pem(old).replace("A", "B")):
        site.signing.public_keys = text
        with pytest.raises(ValidationError):
            site.signing.full_clean()


def test_without_a_signing_secret_nobody_is_signed(site: Site) -> None:
    token = site.token()
    site.signing.delete()
    with pytest.raises(UserTokenRefused, match="no signing secret"):
        verify(token, site.row)
