"""Limits that an operator sets in the admin hold at the next message, in place of those of the settings."""

from datetime import timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from chat.limits import configured
from chat.models import LimitSettings, TierLimit

pytestmark = pytest.mark.django_db


def values(tiers: list[tuple[str, str]], **more: str) -> dict[str, str]:
    """Return what the form sends for new rows of tiers."""
    found = {
        "tier_feature": "user_tier", "window_min": "60", "default_messages": "20", "address_messages": "",
        "person_messages": "100", "feedback": "100", "tiers-TOTAL_FORMS": str(len(tiers)), "tiers-INITIAL_FORMS": "0",
    }  # fmt: skip
    for number, (tier, messages) in enumerate(tiers):
        found |= {f"tiers-{number}-tier": tier, f"tiers-{number}-messages": messages}
    return found | more


def save(client: Client, data: dict[str, str]) -> Any:
    response = client.post(reverse("admin:chat_limitsettings_add"), data)
    configured.rows.clear()
    return response


def test_the_form_begins_with_the_settings_and_takes_them_over(admin_client: Client, settings: Any) -> None:
    settings.FABRA_RATE_LIMITS, settings.FABRA_RATE_LIMIT_DEFAULT = {"premium": 77, "gold": 500}, 13
    page = admin_client.get(reverse("admin:chat_limitsettings_changelist"))
    assert all(f'value="{value}"' in page.content.decode() for value in ("premium", 77, "gold", 500, 13, 60))
    assert not LimitSettings.objects.exists()
    assert save(admin_client, values([("premium", "77"), ("gold", "500")])).status_code == 302
    assert dict(TierLimit.objects.values_list("tier", "messages")) == {"premium": 77, "gold": 500}
    assert LogEntry.objects.filter(content_type__model="limitsettings").count() == 1


def test_a_change_holds_at_the_next_message(admin_client: Client, bot: None, ask: Any) -> None:
    assert ask(user_id="user_456").headers["X-RateLimit-Limit"] == "20"
    save(admin_client, values([("free", "2")], default_messages="7"))
    assert ask(user_id="user_456").headers["X-RateLimit-Remaining"] == "0"
    assert ask(user_id="user_456").status_code == 429
    assert ask(user_id="user_123").headers["X-RateLimit-Limit"] == "7"  # premium is no tier any more
    LimitSettings.objects.all().delete()
    configured.rows.clear()
    assert ask(user_id="user_123").headers["X-RateLimit-Limit"] == "100"


def test_an_empty_limit_is_none_and_zero_lets_nobody_in(admin_client: Client, bot: None, ask: Any) -> None:
    save(admin_client, values([("premium", ""), ("free", "0")]))
    for _ in range(3):
        answered = ask(user_id="user_123")
        assert answered.status_code == 200
        assert not [name for name in answered.headers if name.startswith("X-RateLimit")]
    refused = ask(user_id="user_456")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")


def test_an_unlimited_user_is_answered_without_redis_too(
    admin_client: Client, bot: None, ask: Any, redis_down: None
) -> None:
    save(admin_client, values([("premium", "")]))
    assert [ask(user_id="user_123").status_code for _ in range(2)] == [200, 200]


def test_without_a_tier_feature_all_have_the_same(admin_client: Client, bot: None, ask: Any) -> None:
    save(admin_client, values([("premium", "100")], tier_feature="", default_messages="5"))
    assert ask(user_id="user_123").headers["X-RateLimit-Limit"] == "5"


@pytest.mark.parametrize(
    "wrong",
    [
        {"default_messages": "-1"}, {"window_min": "0"}, {"window_min": ""}, {"window_min": "1441"}, {"feedback": "x"},
        {"tiers-0-messages": "-5"}, {"tiers-0-messages": "1000001"}, {"tiers-1-tier": "premium"}, {"tiers-0-tier": ""},
        {"tier_feature": "no_such_feature"},
    ],
)  # fmt: skip
def test_what_is_no_limit_is_refused(wrong: dict[str, str], admin_client: Client) -> None:
    response = save(admin_client, values([("premium", "100"), ("free", "20")], **wrong))
    assert response.status_code == 200
    assert not LimitSettings.objects.exists()


def test_auditors_see_what_holds_and_operators_may_set_it(client: Client, django_user_model: Any) -> None:
    page, seen = reverse("admin:chat_limitsettings_changelist"), {}
    for group in ("Auditor", "Operator", "Editor"):
        user = django_user_model.objects.create_user(group, is_staff=True)
        user.groups.add(Group.objects.get(name=group))
        client.force_login(user)
        seen[group] = client.get(page)
    assert [response.status_code for response in seen.values()] == [200, 200, 403]
    assert "the tier premium" in seen["Auditor"].content.decode()
    assert 'name="window_min"' not in seen["Auditor"].content.decode()
    assert 'name="window_min"' in seen["Operator"].content.decode()


def test_there_is_one_row(admin_client: Client) -> None:
    save(admin_client, values([("premium", "100")]))
    assert admin_client.get(reverse("admin:chat_limitsettings_add")).status_code == 403
    row = LimitSettings.objects.get()
    page = admin_client.get(reverse("admin:chat_limitsettings_changelist"))
    assert reverse("admin:chat_limitsettings_change", args=[row.pk]) in page.content.decode()


class Plan(Enum):
    TEAM = "team"


@pytest.mark.parametrize(
    ("tier", "limit"),
    [("team", 1), (Plan.TEAM, 1), (180, 2), (Decimal("2.50"), 3), (True, 4), (None, 9), ("none", 9), (["team"], 9)],
)
def test_a_tier_is_named_by_a_value_of_any_plain_type(tier: object, limit: int) -> None:
    tiers = {"team": 1, "180": 2, "2.50": 3, "true": 4}
    limits = configured.MessageLimits(
        tier_feature="plan", window=timedelta(hours=1), tiers=tiers, default=9, address=None, person=None, feedback=None
    )
    assert limits.of_tier(tier) == limit
