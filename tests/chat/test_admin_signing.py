"""How sites sign their users, in the admin and by the command: a secret is shown once, and rotated with an overlap."""

import re
from io import StringIO
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from chat.access.tokens import verify
from chat.models import ApiKey, UserSigning
from tests.chat.sites import Site

pytestmark = pytest.mark.django_db
ADD, LIST = "admin:chat_usersigning_add", "admin:chat_usersigning_changelist"


@pytest.fixture
def key() -> tuple[ApiKey, str]:
    return ApiKey.make("Shop", ["chat"], kind="public", origins=["https://shop.example.com"])


def add(client: Client, row: ApiKey, algorithm: str = "HS256", public_keys: str = "") -> Any:
    return client.post(reverse(ADD), {"key": row.pk, "algorithm": algorithm, "public_keys": public_keys}, follow=True)


def secret_in(response: Any) -> list[str]:
    return re.findall(r"fabra_sig_[\w-]+", response.content.decode())


def test_a_secret_is_shown_once_and_signs_users(admin_client: Client, key: tuple[ApiKey, str]) -> None:
    (secret,) = secret_in(add(admin_client, key[0]))
    signing = UserSigning.objects.get()
    site = Site(row=key[0], key=key[1], signing=signing)
    user_id = f"shop-{key[0].pk}:user_123"
    assert verify(site.token(secret=secret), key[0]).user_id == user_id
    for url in (reverse(LIST), reverse("admin:chat_usersigning_change", args=[signing.pk])):
        assert not secret_in(admin_client.get(url))
    assert secret not in str(UserSigning.objects.values().get())
    rotated = admin_client.post(reverse(LIST), {"action": "rotate", "_selected_action": signing.pk}, follow=True)
    assert secret_in(rotated) and secret_in(rotated) != [secret]
    assert verify(site.token(secret=secret), key[0]).user_id == user_id


@pytest.mark.parametrize(
    ("prefix", "is_taken"),
    [
        ("shop:", True),
        ("", True),
        ("shop", False),
        ("a:b:", False),
        ("visitor:", False),
        ("key:", False),
        ("é:", False),
    ],
)
def test_what_the_ids_of_a_sites_users_begin_with_is_one_word_and_nobody_elses(
    admin_client: Client, key: tuple[ApiKey, str], prefix: str, is_taken: bool
) -> None:
    add(admin_client, key[0])
    signing = UserSigning.objects.get()
    url = reverse("admin:chat_usersigning_change", args=[signing.pk])
    assert "the same conversations" in admin_client.get(url).content.decode()
    changed = admin_client.post(url, {"user_prefix": prefix, "public_keys": ""})
    assert (changed.status_code == 302) is is_taken
    signing.refresh_from_db()
    assert signing.user_prefix == (prefix if is_taken else f"shop-{key[0].pk}:")
    call_command("signing_secret", "Shop", "--prefix", "web:", stdout=StringIO())
    if is_taken:
        call_command("signing_secret", "Shop", "--prefix", prefix, stdout=StringIO())
    else:
        with pytest.raises(CommandError, match="one word"):
            call_command("signing_secret", "Shop", "--prefix", prefix, stdout=StringIO())
    signing.refresh_from_db()
    assert signing.user_prefix == (prefix if is_taken else "web:")


def test_a_key_pair_shows_no_secret_and_what_is_no_key_is_refused(
    admin_client: Client, key: tuple[ApiKey, str]
) -> None:
    public = Ed25519PrivateKey.generate().public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for wrong in ("", "x"):
        assert "public_keys" in add(admin_client, key[0], "EdDSA", wrong).context["adminform"].errors
    assert not secret_in(add(admin_client, key[0], "EdDSA", pem))
    assert "1, of the site" in admin_client.get(reverse(LIST)).content.decode()


def test_only_public_keys_without_one_are_offered(admin_client: Client, key: tuple[ApiKey, str]) -> None:
    ApiKey.make("Server", ["chat"])
    page = admin_client.get(reverse(ADD)).content.decode()
    assert "Shop" in page and "Server" not in page
    add(admin_client, key[0])
    assert "Shop" not in admin_client.get(reverse(ADD)).content.decode()


def test_the_command_prints_it_and_makes_a_new_one(key: tuple[ApiKey, str]) -> None:
    def printed(*words: str) -> str:
        out = StringIO()
        call_command("signing_secret", *words, stdout=out)
        return out.getvalue().strip()

    first = printed("Shop")
    assert printed(key[1]) == printed("Shop") == first
    assert printed("Shop", "--rotate") != first
    for name in ("Nobody", "Server"):
        ApiKey.make("Server", ["chat"])
        with pytest.raises(CommandError, match="No usable public key"):
            printed(name)
    ApiKey.make("Shop", ["chat"], kind="public")
    with pytest.raises(CommandError, match="Several"):
        printed("Shop")
