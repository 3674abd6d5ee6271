"""Point-in-time reads are exact: what was true then, as far as it was known then."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contexts.store import FeatureStore
from features.errors import InvalidInput
from features.models import FeatureValue
from features.registry import entity, feature

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
    def level(tank_id: str) -> int:
        return 0


minutes = st.integers(0, 90)
values = st.lists(st.tuples(st.sampled_from("ab"), minutes, minutes, st.integers(0, 99)), max_size=12)
questions = st.lists(st.tuples(st.sampled_from("ab"), minutes), min_size=1, max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(values=values, questions=questions, known=st.none() | minutes)
def test_it_agrees_with_a_naive_reference(level: None, values: Any, questions: Any, known: int | None) -> None:
    FeatureValue.objects.all().delete()
    rows = FeatureValue.objects.bulk_create(
        FeatureValue(
            entity="Tank", entity_key=key, feature="level", value=value, event_timestamp=at(true_at),
            created_at=at(learned), source="set",
        )
        for key, true_at, learned, value in values
    )  # fmt: skip

    def reference(key: str, moment: int) -> int:
        known_rows = [
            row
            for row in rows
            if row.entity_key == key
            and row.event_timestamp <= at(moment)
            and (known is None or row.created_at <= at(known))
        ]
        best = max(known_rows, key=lambda row: (row.event_timestamp, row.created_at, row.pk), default=None)
        if best is None or at(moment) - best.event_timestamp > timedelta(minutes=30):
            return -1
        return best.value

    asked = [{"tank_id": key, "event_timestamp": at(moment)} for key, moment in questions]
    answered = async_to_sync(store.get_historical_features)(
        asked, ["level"], known_at=None if known is None else at(known)
    )
    assert [row["level"] for row in answered] == [reference(key, moment) for key, moment in questions]


def test_rows_without_key_or_time_are_refused(level: None) -> None:
    for row in [
        {"event_timestamp": START},
        {"tank_id": "a"},
        {"tank_id": "a", "event_timestamp": datetime(2026, 1, 1)},
    ]:  # noqa: DTZ001
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
