"""API keys in the admin: shown once, kept as a hash, revoked with one click."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.models import ApiKey, Bot

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


def test_a_key_is_bound_and_limited_here_and_belongs_to_its_maker(admin_client: Client) -> None:
    make(
        admin_client, indexes="docs\r\nfaq\r\ndocs", users="Jose\u0301", networks="192.0.2.7\n2001:db8::/32",
        per_minute="60", per_day="",
    )  # fmt: skip
    row = ApiKey.objects.get()
    assert (row.indexes, row.users) == (["docs", "faq"], ["José"])
    assert row.networks == ["192.0.2.7/32", "2001:db8::/32"]
    assert (row.per_minute, row.per_day) == (60, None)
    assert row.owner is not None and row.owner.username == "admin"
    assert "2 indexes, 1 user, 2 addresses, 60 a minute" in admin_client.get(reverse(LIST)).content.decode()


@pytest.mark.parametrize(
    "changes", [{"networks": "here"}, {"users": "a\u200bb"}, {"indexes": "x" * 201}, {"per_minute": "0"}]
)
def test_a_bound_that_nothing_can_meet_is_refused(changes: dict[str, str], admin_client: Client) -> None:
    assert make(admin_client, **changes).context["adminform"].form.errors
    assert not ApiKey.objects.exists()


def test_nobody_makes_a_key_for_what_they_may_not_do(client: Client) -> None:
    operator = User.objects.create_user("operator", is_staff=True)
    operator.user_permissions.set(
        Permission.objects.filter(codename__in=["add_apikey", "view_apikey", "view_document"])
    )
    client.force_login(operator)
    assert make(client).context["adminform"].form.errors["scopes"]
    make(client, scopes=["ingest"])
    assert ApiKey.objects.get().owner == operator


def test_a_public_key_is_made_here_with_its_origins_and_budgets(admin_client: Client) -> None:
    public = {
        "kind": "public",
        "scopes": ["chat"],
        "daily_budget_usd": "1.5",
        "contexts": "chat_context",
        "per_day": "9",
    }
    unlimited = make(admin_client, **public | {"origins": "https://a.example", "per_day": ""})
    assert unlimited.context["adminform"].form.errors["per_day"]
    for wrong in ({"scopes": ["chat", "ingest"]}, {"origins": "https://a.example/x"}, {"daily_budget_usd": "0"}, {}):
        assert make(admin_client, **public | wrong).context["adminform"].form.errors
    assert make(admin_client, origins="https://a.example", scopes=["chat"]).context["adminform"].form.errors
    assert not ApiKey.objects.exists()
    page = make(admin_client, **public, origins="https://A.example/\nhttps://a.example").content.decode()
    row = ApiKey.objects.get()
    assert 'class="fb-key">fabra_pub_' in page
    assert (row.origins, row.contexts, f"{row.daily_budget_usd}") == (["https://a.example"], ["chat_context"], "1.5000")
    assert "1 context, 1 origin, 9 a day, $1.5 a day" in admin_client.get(reverse(LIST)).content.decode()


def test_a_public_key_has_the_context_that_its_bots_pages_ask_by(admin_client: Client) -> None:
    Bot.objects.create(slug="sales", context="chat_context")
    public = {"kind": "public", "scopes": ["chat"], "per_day": "9", "origins": "https://a.example", "bot": "sales"}
    refused = make(admin_client, **public, contexts="chat_context_free").context["adminform"].form.errors
    assert "the context of its bot, 'chat_context'" in refused["contexts"][0]
    with pytest.raises(CommandError, match="the context of its bot, 'chat_context'"):
        call_command(
            "create_api_key", "shop", "--public", "--scope", "chat", "--per-day", "9", "--bot", "sales",
            "--origin", "https://a.example", "--context", "chat_context_free",
        )  # fmt: skip
    for contexts in ("", "chat_context_free\nchat_context"):
        make(admin_client, **public, contexts=contexts)
    assert ApiKey.objects.count() == 2


def test_bounds_are_changed_later_and_what_it_may_do_is_not(admin_client: Client) -> None:
    row, key = ApiKey.make("cms", ["ingest"], indexes=["docs"])
    new = row.rotate(timedelta(hours=1))
    url = reverse("admin:chat_apikey_change", args=[row.pk])
    admin_client.post(url, {"name": "cms 2", "indexes": "faq", "per_day": "9", "scopes": ["debug"], "kind": "public"})
    row.refresh_from_db()
    assert (row.name, row.indexes, row.per_day) == ("cms 2", ["faq"], 9)
    assert (row.scopes, row.kind) == (["ingest"], "secret")
    assert ApiKey.authenticate(key) and ApiKey.authenticate(new)
    admin_client.post(reverse(LIST), {"action": "revoke", "_selected_action": [row.pk]})
    assert admin_client.post(url, {"name": "alive"}).status_code == 403


def test_a_key_is_rotated_here_and_the_previous_secret_ended(admin_client: Client) -> None:
    row, old = ApiKey.make("cms", ["chat"])
    url = reverse("admin:chat_apikey_rotate", args=[row.pk])
    assert admin_client.get(url).status_code == 200
    page = admin_client.post(url, {"overlap": "24"}, follow=True).content.decode()
    new = page.split('class="fb-key">', 1)[1].split("<", 1)[0]
    assert ApiKey.authenticate(old) and ApiKey.authenticate(new)
    for start in (old[:15], new[:15], "works until"):
        assert start in page
    again = admin_client.post(url, {"overlap": "24"})
    assert "end it first" in again.content.decode()
    admin_client.post(reverse(LIST), {"action": "end_previous", "_selected_action": [row.pk]})
    assert (ApiKey.authenticate(old), ApiKey.authenticate(new)) == (None, row)


def test_nobody_gets_the_secret_of_a_key_that_may_do_more_than_they(client: Client) -> None:
    operator = User.objects.create_user("operator", is_staff=True)
    names = ["change_apikey", "view_apikey", "chat_as_user"]
    operator.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(operator)
    mine, theirs = ApiKey.make("chat", ["chat"])[0], ApiKey.make("debug", ["chat", "debug"])[0]
    client.post(reverse("admin:chat_apikey_rotate", args=[mine.pk]), {"overlap": "1"})
    client.post(reverse("admin:chat_apikey_rotate", args=[theirs.pk]), {"overlap": "1"})
    assert [row.has_previous for row in ApiKey.objects.order_by("pk")] == [True, False]
