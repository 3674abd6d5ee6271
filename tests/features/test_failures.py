"""A function that fails behind a default is counted, shown in the admin and logged, never silent for ever."""

import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import reverse

from contexts.store import FeatureStore
from features import failures
from features.declaration import entity, feature
from features.failures import failures_of
from features.models import FeatureDefinition
from features.preview import preview_feature
from features.registry import features
from features.sync_definitions import sync_features

pytestmark = pytest.mark.django_db

store = FeatureStore()


@pytest.fixture
def credit() -> list[str]:
    """Declare a feature that fails for each key but `good`; return the keys it was called for."""
    calls: list[str] = []
    failures._logged.clear()

    @entity(store)
    class Payer:
        payer_id: str

    @feature(entity=Payer, default_value=0)
    def credit(payer_id: str) -> int:
        calls.append(payer_id)
        if payer_id != "good":
            raise ConnectionError("no route to secret-host")
        return 7

    return calls


def get(*keys: str) -> dict[str, Any]:
    return async_to_sync(store.get_online_features)("Payer", list(keys), ["credit"])


def test_failures_behind_a_default_are_counted(credit: list[str]) -> None:
    assert get("a") == {"a": {"credit": 0}}
    assert get("a", "b", "good")["good"] == {"credit": 7}
    found = failures_of(["credit", "other"])
    assert found is not None
    assert found["credit"].by_day == {datetime.now(UTC).date(): 3}
    assert found["credit"].recent == 3
    assert found["credit"].last_error == "ConnectionError('no route to secret-host')"
    assert found["credit"].last_key in ("a", "b")
    assert found["other"].recent == 0


def test_a_value_that_is_refused_counts_too(credit: list[str]) -> None:
    @feature(entity="Payer", default_value=0)
    def limit(payer_id: str) -> int:
        return "much"

    assert async_to_sync(store.get_feature)("limit", "a") == 0
    found = failures_of(["limit"])
    assert found is not None
    assert "The feature 'limit' cannot store this str as int" in found["limit"].last_error


def test_they_are_logged_without_their_message_and_not_each_time(credit: list[str], caplog: Any) -> None:
    with caplog.at_level(logging.WARNING, "features.failures"):
        for number in range(5):
            get(f"key{number}")
    lines = [record.getMessage() for record in caplog.records if record.name == "features.failures"]
    assert len(lines) == 1
    assert "credit failed for 1 keys with ConnectionError" in lines[0]
    assert "secret-host" not in lines[0]


def test_a_preview_counts_nothing(credit: list[str]) -> None:
    preview_feature(features["credit"], "a")
    found = failures_of(["credit"])
    assert found is not None
    assert found["credit"].recent == 0


def test_without_redis_the_default_is_served_and_the_pages_say_so(
    credit: list[str], redis_down: None, admin_client: Client, caplog: Any
) -> None:
    assert get("a") == {"a": {"credit": 0}}
    assert "credit failed for 1 keys" in caplog.text
    assert failures_of(["credit"]) is None


def test_the_list_and_the_page_of_a_feature_show_them(credit: list[str], admin_client: Client) -> None:
    sync_features()
    row = FeatureDefinition.objects.get(name="credit")
    address = reverse("admin:features_featuredefinition_change", args=[row.pk])
    assert "None on demand in 30 days." in admin_client.get(address).text
    assert "1 failed" not in admin_client.get(reverse("admin:features_featuredefinition_changelist")).text
    get("a", "b")
    shown = admin_client.get(address).text
    assert "no route to secret-host" in shown
    assert f"{datetime.now(UTC).date()}" in shown
    assert "2 failed" in admin_client.get(reverse("admin:features_featuredefinition_changelist")).text
