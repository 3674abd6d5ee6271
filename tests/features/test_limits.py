"""`ttl`, `refresh`, `stale_tolerance` and `default_value` mean the same, whichever store answers."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from hypothesis import HealthCheck, example, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from common.errors import InvalidInput
from common.redis import async_redis, redis_key
from contexts.store import FeatureStore
from features import registry
from features.declaration import entity, feature
from features.errors import FeatureComputeError
from features.freshness import freshness
from features.models import FeatureValue, KnownEntity
from features.registry import UNSET, FeatureSpec
from features.serving import read_features
from features.values import StoredValue

pytestmark = pytest.mark.django_db
store = FeatureStore()


@pytest.fixture
def pulse() -> None:
    @entity(store)
    class Bird:
        bird_id: str

    @feature(entity=Bird, refresh="1h")
    def pulse(bird_id: str) -> int:
        raise RuntimeError("so that what stands in is seen")


async def forget() -> None:
    await (await async_redis()).delete(redis_key("values", "Bird", "b"))


def served() -> tuple[Any, str, str]:
    try:
        read = async_to_sync(read_features)("Bird", "b", ["pulse"])[0]
    except FeatureComputeError:
        return None, "error", ""
    return read.value, read.status, read.source


def expected(spec: FeatureSpec, age_s: float | None) -> tuple[Any, str]:
    """Return value and status as the README says it."""
    default = None if spec.default_value is UNSET else spec.default_value
    if age_s is not None:
        now = datetime.now(UTC)
        state = freshness(now - timedelta(seconds=age_s), spec.limits, now)
        if state == "fresh":
            return 7, "fresh"
        if state in ("stale", "overdue"):  # overdue: recomputed first, which fails here
            return 7, "stale"
    status = "missing" if age_s is None else "expired"
    if spec.trigger or spec.default_value is not UNSET:
        return default, status
    return None, "error"


# Half seconds, so that no age stands at the very edge of a limit while the test runs.
spans = st.none() | st.integers(1, 500).map(lambda n: timedelta(seconds=20 * n))


@with_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    age=st.none() | st.integers(0, 600).map(lambda n: 20 * n + 10),
    refresh=spans,
    tolerance=spans,
    ttl=spans,
    trigger=st.sampled_from([None, "sung"]),
    default=st.sampled_from([UNSET, 0, None]),
)
@example(age=4000, refresh=None, tolerance=None, ttl=timedelta(hours=1), trigger=None, default=0)
@example(age=4000, refresh=timedelta(hours=2), tolerance=None, ttl=timedelta(hours=1), trigger="sung", default=UNSET)
def test_each_store_serves_the_same(
    pulse: None, settings: Any, age: int | None, refresh: Any, tolerance: Any, ttl: Any, trigger: Any, default: Any
) -> None:
    FeatureValue.objects.all().delete()
    async_to_sync(forget)()
    spec = registry.features["pulse"] = replace(
        registry.features["pulse"], refresh=refresh, stale_tolerance=tolerance or timedelta(0), ttl=ttl,
        trigger=trigger, default_value=default,
    )  # fmt: skip
    if age is not None:
        async_to_sync(store.set_feature)("pulse", "b", 7, datetime.now(UTC) - timedelta(seconds=age))
    online = served()
    async_to_sync(forget)()
    filled = served()
    url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    try:
        offline = served()
    finally:
        settings.REDIS_URL = url
    assert {answer[:2] for answer in (online, filled, offline)} == {expected(spec, age)}
    if ttl is not None and age is not None and age > ttl.total_seconds():
        assert online[1] not in ("fresh", "stale")


@given(moment=st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_redis_keeps_a_time_to_the_microsecond(moment: datetime) -> None:
    stored = StoredValue(value=[1, "ä", None], event_timestamp=moment, created_at=moment, value_id=3)
    assert StoredValue.from_text(stored.to_text()) == stored


def test_a_value_that_took_longer_than_it_is_good_for_is_not_called_fresh(pulse: None) -> None:
    @feature(entity="Bird", ttl=timedelta(milliseconds=10), name="slow")
    def slow(bird_id: str) -> int:
        time.sleep(0.02)
        return 1

    assert async_to_sync(read_features)("Bird", "b", ["slow"])[0].status == "stale"


def test_nothing_is_true_in_the_future(pulse: None) -> None:
    with pytest.raises(InvalidInput, match="in the future"):
        async_to_sync(store.set_feature)("pulse", "b", 1, datetime.now(UTC) + timedelta(hours=1))
    assert not KnownEntity.objects.exists()
