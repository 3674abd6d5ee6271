"""A run that finds a value unchanged writes no row, and every read is what it would be with one."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.redis import plain_redis
from common.retention import prune_kind
from contexts.store import FeatureStore
from features import registry
from features.coverage import coverages
from features.declaration import entity, feature
from features.models import FeatureConfirmation, FeatureDefinition, FeatureValue, KnownEntity
from features.offline import ValueOrigin, insert_backfilled, insert_changed, insert_values, stored_values
from features.online import entity_key_of
from features.registry import FeatureSpec
from features.retention import CONFIRMATIONS, VALUES
from features.serving import online_store

pytestmark = pytest.mark.django_db
store = FeatureStore()
START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = "abc"


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


@pytest.fixture
def answers() -> dict[str, Any]:
    """Return what the feature's function answers, by key; the test changes it."""
    answers: dict[str, Any] = {"a": 1, "b": "free", "c": None}

    @entity(store)
    class Tank:
        tank_id: str

    @feature(entity=Tank, materialize=True, refresh="1h", ttl="2h", default_value=-1)
    def level(tank_id: str) -> Any:
        return answers[tank_id]

    return answers


@pytest.fixture
def level(answers: dict[str, Any]) -> FeatureSpec:
    return registry.features["level"]


# A run computes some of the keys now; the others failed, or are not known any more. Other values come at any time, true
# at any time: set, computed on demand, backfilled.
some_value = st.sampled_from([1, 1.0, 2, None])
run = st.tuples(st.just("run"), st.dictionaries(st.sampled_from(KEYS), some_value, max_size=3), st.just(0))
other = st.tuples(
    st.just("other"), st.dictionaries(st.sampled_from(KEYS), some_value, min_size=1, max_size=2), st.integers(0, 60)
)
minutes = st.integers(0, 120)
# A moment of an hour in which values are backfilled, again and again.
backfill = st.tuples(
    st.just("backfill"), st.dictionaries(st.sampled_from(KEYS), some_value, min_size=1), st.sampled_from([0, 20, 40])
)
questions = st.lists(st.tuples(st.sampled_from(KEYS), minutes, st.none() | minutes), min_size=1, max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(writes=st.lists(run | other | backfill, max_size=14), questions=questions, ttl=st.none() | st.integers(1, 60))
def test_reads_agree_with_a_history_that_has_a_row_for_each_computation(
    level: FeatureSpec, writes: Any, questions: Any, ttl: int | None
) -> None:
    FeatureValue.objects.all().delete()
    FeatureConfirmation.objects.all().delete()
    limit = None if ttl is None else timedelta(minutes=ttl)
    spec = registry.features["level"] = replace(level, ttl=limit)
    history: list[tuple[str, datetime, datetime, Any]] = []
    for number, (kind, values, age) in enumerate(writes):
        now = 6 * number + 5
        moments = {"run": at(now - 2), "other": at(now - age), "backfill": at(min(age, now))}
        moment, learned = moments[kind], at(now)
        source = "backfilled" if kind == "backfill" else "materialized"
        origin = ValueOrigin(event_timestamp=moment, created_at=learned, source=source)
        with transaction.atomic():
            INSERTS[kind](spec, values, origin)
        history += [(key, moment, learned, value) for key, value in values.items()]

    def newest(key: str, moment: datetime, known: datetime | None) -> tuple[datetime, datetime, Any] | None:
        rows = [row[1:] for row in history if row[0] == key and row[1] <= moment and (not known or row[2] <= known)]
        return max(rows, key=lambda row: row[:2], default=None)

    def reference(key: str, moment: datetime, known: datetime | None) -> Any:
        found = newest(key, moment, known)
        return -1 if found is None or (limit and moment - found[0] > limit) else found[2]

    asked = [
        {"tank_id": key, "event_timestamp": at(moment)} | ({} if known is None else {"known_at": at(known)})
        for key, moment, known in questions
    ]
    answered = async_to_sync(store.get_historical_features)(asked, ["level"])
    wanted = [reference(row["tank_id"], row["event_timestamp"], row.get("known_at")) for row in asked]
    assert [repr(row["level"]) for row in answered] == [repr(value) for value in wanted]

    # What the online store is filled with after an outage has the time of the last computation.
    end = at(120)
    latest = FeatureValue.objects.latest_of("Tank", list(KEYS), ["level"])
    stored = {row.entity_key: value for row, value in stored_values(latest, until=end)}
    for key in KEYS:
        last = newest(key, end, None)
        found = stored.get(key)
        assert (found and (found.event_timestamp, repr(found.value))) == (last and (last[0], repr(last[2])))
        # A backfill that finds a value leaves it as learned when it was learned first.
        learnt = {row[2] for row in history if last and (row[0], row[1], repr(row[3])) == (key, last[0], repr(last[2]))}
        assert found is None or found.created_at in learnt


INSERTS = {"run": insert_changed, "other": insert_values, "backfill": insert_backfilled}


def values_of(key: str) -> list[FeatureValue]:
    return list(FeatureValue.objects.filter(entity_key=key).order_by("id"))


def test_a_run_of_unchanged_values_writes_one_row_and_renews_them_online(answers: dict[str, Any]) -> None:
    runs = [async_to_sync(store.materialize)("level", list(KEYS)) for _ in range(3)]
    assert [(run.done, run.unchanged) for run in runs] == [(3, 0), (3, 3), (3, 3)]
    assert FeatureValue.objects.count() == 3
    assert FeatureConfirmation.objects.count() == 2
    online = async_to_sync(online_store.read)("Tank", "b", ["level"])["level"]
    [row] = values_of("b")
    newest = FeatureConfirmation.objects.latest("id")
    assert (online.value, online.value_id) == ("free", row.pk)
    assert (online.event_timestamp, online.created_at) == (newest.moment, newest.created_at)


def test_what_changed_is_written_and_the_rest_is_not(answers: dict[str, Any]) -> None:
    async_to_sync(store.materialize)("level", list(KEYS))
    answers["b"] = "premium"
    run = async_to_sync(store.materialize)("level", list(KEYS))
    assert run.unchanged == 2
    assert [row.value for row in values_of("b")] == ["free", "premium"]
    assert len(values_of("a")) == len(values_of("c")) == 1


def test_a_value_that_a_run_did_not_compute_is_not_confirmed_by_it(answers: dict[str, Any]) -> None:
    async_to_sync(store.materialize)("level", list(KEYS))
    del answers["b"]  # its function fails from now on
    async_to_sync(store.materialize)("level", ["a", "b"])  # and "c" has left
    moment = timezone.now()
    times = {row.entity_key: value for row, value in stored_values(FeatureValue.objects.all(), until=moment)}
    first = values_of("a")[0].event_timestamp
    assert times["a"].event_timestamp > first
    assert times["b"].event_timestamp == times["c"].event_timestamp == first


def test_a_value_lives_for_its_ttl_after_the_last_run_that_confirmed_it(level: FeatureSpec) -> None:
    for hour in range(5):
        computed = {"a": 1, "b": 1} if hour < 3 else {"a": 1}
        origin = ValueOrigin(event_timestamp=at(60 * hour), created_at=at(60 * hour), source="materialized")
        with transaction.atomic():
            insert_changed(level, computed, origin)
    assert FeatureValue.objects.count() == 2
    row = {"event_timestamp": at(60 * 4 + 30)}
    read = async_to_sync(store.get_historical_features)([row | {"tank_id": key} for key in "ab"], ["level"])
    assert [found["level"] for found in read] == [1, -1]


def test_after_redis_was_lost_a_confirmed_value_is_still_fresh(answers: dict[str, Any]) -> None:
    async_to_sync(store.materialize)("level", ["a"])
    FeatureValue.objects.update(event_timestamp=timezone.now() - timedelta(days=3))
    async_to_sync(store.materialize)("level", ["a"])
    assert len(values_of("a")) == 1
    answers["a"] = "not asked for"
    plain_redis().delete(entity_key_of("Tank", "a"))
    assert async_to_sync(store.get_feature)("level", "a") == 1
    online = async_to_sync(online_store.read)("Tank", "a", ["level"])["level"]
    assert timezone.now() - online.event_timestamp < timedelta(minutes=1)
    KnownEntity.objects.touch("Tank", ["a"])
    row = FeatureDefinition(name="level", entity="Tank", declared_refresh=level_refresh(), ttl=timedelta(hours=2))
    assert coverages([row])["level"].fresh == 1


def level_refresh() -> timedelta:
    refresh = registry.features["level"].refresh
    assert refresh
    return refresh


def test_a_range_loads_values_that_were_confirmed_in_it(level: FeatureSpec) -> None:
    for hour in range(3):
        origin = ValueOrigin(event_timestamp=at(60 * hour), created_at=at(60 * hour), source="materialized")
        with transaction.atomic():
            insert_changed(level, {"a": 5, "b": hour // 2} if hour != 1 else {"a": 5}, origin)
    run = async_to_sync(store.materialize)("level", start=at(30), end=at(90))
    assert (run.state, run.done, run.total) == ("done", 1, 1)
    online = async_to_sync(online_store.read)("Tank", "a", ["level"])["level"]
    assert (online.value, online.event_timestamp) == (5, at(60))
    assert async_to_sync(online_store.read)("Tank", "b", ["level"]) == {}


def test_a_value_that_held_until_lately_is_not_pruned(level: FeatureSpec) -> None:
    now = timezone.now()
    for days, value in ((900, 1), (800, 1), (700, 2), (500, 2), (10, 2), (5, 3)):
        moment = now - timedelta(days=days)
        with transaction.atomic():
            insert_changed(
                level, {"a": value}, ValueOrigin(event_timestamp=moment, created_at=moment, source="materialized")
            )
    assert [row.value for row in values_of("a")] == [1, 2, 3]
    assert prune_kind(VALUES) == (1, True)
    assert prune_kind(CONFIRMATIONS) == (2, True)
    assert [row.value for row in values_of("a")] == [2, 3]
    asked = {"tank_id": "a", "event_timestamp": now - timedelta(days=9, hours=23)}
    assert async_to_sync(store.get_historical_features)([asked], ["level"])[0]["level"] == 2


@pytest.fixture
def in_thread() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    threads = []

    def start(work: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            finally:
                connection.close()

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(60)


@pytest.mark.django_db(transaction=True)
def test_a_value_set_while_a_run_writes_is_not_hidden_and_hides_nothing(
    level: FeatureSpec, in_thread: Callable[[Callable[[], object]], threading.Thread]
) -> None:
    """The run waits for the other's commit, and then knows what is the newest."""
    now = timezone.now()
    for number in (10, 8):
        moment = now - timedelta(minutes=number)
        with transaction.atomic():
            insert_changed(
                level, {"a": 1}, ValueOrigin(event_timestamp=moment, created_at=moment, source="materialized")
            )

    def run() -> None:
        with transaction.atomic():
            insert_changed(level, {"a": 1}, ValueOrigin(event_timestamp=now, created_at=now, source="materialized"))

    with transaction.atomic():
        earlier = now - timedelta(minutes=5)
        insert_values(level, {"a": 2}, ValueOrigin(event_timestamp=earlier, created_at=now, source="set"))
        other = in_thread(run)
        other.join(0.3)
        assert other.is_alive()
    other.join(60)
    assert [row.value for row in values_of("a")] == [1, 2, 1]
    asked = [{"tank_id": "a", "event_timestamp": now - timedelta(minutes=age)} for age in (7, 4, 0)]
    assert [row["level"] for row in async_to_sync(store.get_historical_features)(asked, ["level"])] == [1, 2, 1]
