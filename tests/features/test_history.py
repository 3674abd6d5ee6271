"""Point-in-time reads are exact: what was true then, as far as it was known then."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import InvalidInput
from contexts.store import FeatureStore
from features import registry
from features.declaration import entity, feature
from features.models import FeatureValue

pytestmark = pytest.mark.django_db
store = FeatureStore()
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


@pytest.fixture
def level() -> None:
    @entity(store)
    class Tank:
        tank_id: str

    @feature(entity=Tank, ttl="30m", default_value=-1)
    def level(tank_id: str) -> Any:
        return 0


minutes = st.integers(0, 90)
# Few moments and keys, so that times tie, values come twice, and many are learned long after they were true.
values = st.lists(
    st.tuples(st.sampled_from("ab"), minutes | st.sampled_from([10, 40]), minutes | st.just(40), st.integers(0, 99)),
    max_size=16,
)
questions = st.lists(st.tuples(st.sampled_from("ab"), minutes, st.none() | minutes), min_size=1, max_size=6)
ttls = st.none() | minutes.filter(bool)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(values=values, questions=questions, known=st.none() | minutes, ttl=ttls)
def test_it_agrees_with_a_naive_reference(
    level: None, values: Any, questions: Any, known: int | None, ttl: int | None
) -> None:
    """`event_timestamp` decides what was true, `created_at` what was known, the row's time what is too old."""
    FeatureValue.objects.all().delete()
    limit = None if ttl is None else timedelta(minutes=ttl)
    registry.features["level"] = replace(registry.features["level"], ttl=limit)
    rows = FeatureValue.objects.bulk_create(
        FeatureValue(
            entity="Tank", entity_key=key, feature="level", value=value, event_timestamp=at(true_at),
            created_at=at(learned), source="set",
        )
        for key, true_at, learned, value in values
    )  # fmt: skip

    def reference(key: str, moment: int, known: int | None) -> int:
        best = None
        for row in rows:
            is_true, is_known = row.event_timestamp <= at(moment), known is None or row.created_at <= at(known)
            if row.entity_key != key or not is_true or not is_known:
                continue
            # Of what was true last, what was learned last; of that, what was written last.
            if best is None or (row.event_timestamp, row.created_at) >= (best.event_timestamp, best.created_at):
                best = row
        if best is None or (limit is not None and at(moment) - best.event_timestamp > limit):
            return -1
        return best.value

    asked = [
        {"tank_id": key, "event_timestamp": at(moment)} | ({} if own is None else {"known_at": at(own)})
        for key, moment, own in questions
    ]
    answered = async_to_sync(store.get_historical_features)(
        asked, ["level"], known_at=None if known is None else at(known)
    )
    assert [row["level"] for row in answered] == [
        reference(key, moment, known if own is None else own) for key, moment, own in questions
    ]
    assert [{name: row[name] for name in given} for row, given in zip(answered, asked, strict=True)] == asked


def test_rows_without_key_or_time_are_refused(level: None) -> None:
    for row in [
        {"event_timestamp": START},
        {"tank_id": "a"},
        {"tank_id": "a", "event_timestamp": START.replace(tzinfo=None)},
        {"tank_id": "a", "event_timestamp": START, "known_at": "yesterday"},
    ]:
        with pytest.raises(InvalidInput):
            async_to_sync(store.get_historical_features)([row], ["level"])


def test_values_of_every_json_kind_come_back_as_they_were(level: None) -> None:
    for number, value in enumerate(["text", ["a", 1], {"a": None}, None, 1.5, True, '"quoted"']):
        moment = at(number)
        async_to_sync(store.set_feature)("level", "a", value, moment)
        answered = async_to_sync(store.get_historical_features)(
            [{"tank_id": "a", "event_timestamp": moment}], ["level"]
        )
        assert answered[0]["level"] == value
