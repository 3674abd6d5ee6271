"""Feature values after a clock that was ahead was set back: newer ones replace them, and a run confirms again."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db.models import F

from common.redis import plain_redis
from contexts.store import FeatureStore
from features import registry
from features.declaration import entity, feature
from features.freshness import Freshness, FreshnessLimits, freshness
from features.models import FeatureConfirmation, FeatureValue
from features.online import entity_key_of
from features.serving import read_features
from features.traits import keep_traits
from features.value_writer import write_values
from features.values import FeatureRead

pytestmark = pytest.mark.django_db

store = FeatureStore()
HOUR = timedelta(hours=1)


@pytest.fixture
def answers() -> dict[str, Any]:
    answers = {"a": "then"}

    @entity(store)
    class Clock:
        clock_id: str

    @feature(entity=Clock, materialize=True, refresh="10m")
    def shows(clock_id: str) -> Any:
        return answers[clock_id]

    @feature(entity=Clock, trigger="clock_told")
    def told(clock_id: str, event: Any) -> Any:
        return event.payload

    @feature(entity=Clock, source="token")
    def trait(clock_id: str, value: str) -> str:
        return value

    return answers


def read(name: str = "shows") -> FeatureRead:
    return async_to_sync(read_features)("Clock", "a", [name])[0]


def materialise() -> Any:
    return async_to_sync(store.materialize)("shows", ["a"])


def put(name: str, value: Any, age_s: float = 0) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=age_s)
    spec = registry.features[name]
    async_to_sync(write_values)(spec, {"a": value}, event_timestamp=moment, source=FeatureValue.Source.EVENT)


def set_clock_back() -> None:
    """Have all values be of a clock that was an hour ahead until now."""
    FeatureValue.objects.update(event_timestamp=F("event_timestamp") + HOUR, created_at=F("created_at") + HOUR)
    FeatureConfirmation.objects.update(moment=F("moment") + HOUR, created_at=F("created_at") + HOUR)
    redis, key = plain_redis(), entity_key_of("Clock", "a")
    for name, text in redis.hgetall(key).items():
        event_us, created_us, *rest = json.loads(text)
        hour_us = HOUR // timedelta(microseconds=1)
        redis.hset(key, name, json.dumps([event_us + hour_us, created_us + hour_us, *rest], separators=(",", ":")))


def forget_online() -> None:
    plain_redis().delete(entity_key_of("Clock", "a"))


@pytest.mark.parametrize("is_online", [True, False])
def test_a_value_of_a_clock_ahead_is_computed_anew_and_replaced_in_both_stores(
    answers: dict[str, Any], is_online: bool
) -> None:
    assert read().value == "then"
    set_clock_back()
    if not is_online:
        forget_online()
    answers["a"] = "now"
    assert (read().value, read().status) == ("now", "fresh")
    assert read().source == "online"
    forget_online()
    found = read()
    assert (found.value, found.source) == ("now", "offline")


def test_the_newest_event_counts_for_a_triggered_feature_which_is_served_meanwhile(answers: dict[str, Any]) -> None:
    put("told", "before", age_s=600)
    put("told", "ahead")
    FeatureValue.objects.filter(value="before").update(created_at=F("created_at") - HOUR)
    FeatureValue.objects.filter(value="ahead").update(
        event_timestamp=F("event_timestamp") + HOUR, created_at=F("created_at") + HOUR
    )
    forget_online()
    assert (read("told").value, read("told").status) == ("ahead", "stale")
    put("told", "now")
    assert read("told").value == "now"
    forget_online()
    assert read("told").value == "now"
    ordered = FeatureValue.objects.filter(feature="told").order_by("event_timestamp", "created_at")
    assert [row.value for row in ordered] == ["before", "ahead", "now"]


def test_an_event_from_before_takes_back_nothing_that_a_clock_ahead_wrote_after_it(answers: dict[str, Any]) -> None:
    put("told", "ahead")
    set_clock_back()
    put("told", "now")
    put("told", "late", age_s=300)
    assert read("told").value == "now"


def test_a_run_confirms_unchanged_values_again(answers: dict[str, Any]) -> None:
    materialise()
    materialise()
    set_clock_back()
    runs = [materialise() for _ in range(3)]
    assert [run.unchanged for run in runs] == [1, 1, 1]
    assert FeatureValue.objects.count() == 1
    assert read().status == "fresh"
    assert not FeatureConfirmation.objects.filter(moment__gt=datetime.now(UTC)).exists()


def test_the_trait_of_a_token_replaces_one_of_a_clock_ahead(answers: dict[str, Any]) -> None:
    for value in ("then", "now"):
        set_clock_back()
        async_to_sync(keep_traits)("clock_id", "a", {"trait": value}, datetime.now(UTC))
    assert read("trait").value == "now"


def test_a_time_that_lies_ahead_is_taken_for_now(answers: dict[str, Any]) -> None:
    put("told", "ahead", age_s=-3600)
    assert FeatureValue.objects.get().event_timestamp <= datetime.now(UTC)


def test_a_value_of_the_future_is_not_fresh() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    limits = FreshnessLimits(refresh=HOUR, stale_tolerance=HOUR, ttl=None)
    with_ttl = FreshnessLimits(refresh=HOUR, stale_tolerance=HOUR, ttl=HOUR)
    assert freshness(now + timedelta(minutes=1), limits, now) is Freshness.FRESH
    assert freshness(now + HOUR, limits, now) is Freshness.OVERDUE
    assert freshness(now + HOUR, with_ttl, now) is Freshness.EXPIRED
