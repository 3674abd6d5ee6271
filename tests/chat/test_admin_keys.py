"""API keys in the admin: shown once, kept as a hash, revoked with one click."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.models import ApiKey

pytestmark = pytest.mark.django_db

ADD = "admin:chat_apikey_add"
LIST = "admin:chat_apikey_changelist"


def make(client: Client, **changes: Any) -> Any:
    return client.post(reverse(ADD), {"name": "cms", "scopes": ["chat", "ingest"], **changes}, follow=True)


def test_a_key_is_shown_once_and_only_its_hash_is_kept(admin_client: Client) -> None:
    page = make(admin_client).content.decode()
    row = ApiKey.objects.get()
    key = page.split('class="fb-key">', 1)[1].split("<", 1)[0]
    assert ApiKey.authenticate(key) == row
    assert row.scopes == ["chat", "ingest"]
    assert key not in str(ApiKey.objects.values().get())
    for url in (reverse(LIST), reverse("admin:chat_apikey_change", args=[row.pk])):
        assert key not in admin_client.get(url).content.decode()


@pytest.mark.parametrize(
    "changes",
    [{"scopes": []}, {"scopes": ["root"]}, {"name": ""}, {"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}],
)
def test_a_key_that_could_not_work_is_refused(changes: dict[str, Any], admin_client: Client) -> None:
    assert make(admin_client, **changes).context["adminform"].form.errors
    assert not ApiKey.objects.exists()


def test_a_key_can_expire(admin_client: Client) -> None:
    make(admin_client, expires_at_0=f"{timezone.now() + timedelta(days=2):%Y-%m-%d}", expires_at_1="00:00:00")
    assert ApiKey.objects.get().expires_at is not None


def test_a_revoked_key_stays_and_opens_nothing(admin_client: Client) -> None:
    row, key = ApiKey.make("cms", ["chat"])
    admin_client.post(reverse(LIST), {"action": "revoke", "_selected_action": [row.pk]})
    assert ApiKey.authenticate(key) is None
    assert ApiKey.objects.get().revoked_at is not None
    assert admin_client.post(reverse("admin:chat_apikey_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
