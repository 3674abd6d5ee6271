"""Coverage counts the known entities by the state of their newest value."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.coverage import coverages
from features.freshness import Freshness, FreshnessLimits, freshness
from features.models import FeatureDefinition, FeatureValue, KnownEntity
from tests.factories import FeatureValueFactory

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def defined(name: str = "speed", **limits: Any) -> FeatureDefinition:
    return FeatureDefinition(name=name, entity="Robot", **limits)


def fill(ages: dict[str, list[float]], feature: str = "speed") -> None:
    KnownEntity.objects.bulk_create(
        [KnownEntity(entity="Robot", entity_key=key, last_seen_at=NOW) for key in ages], ignore_conflicts=True
    )
    FeatureValue.objects.bulk_create(
        FeatureValueFactory.build(entity_key=key, feature=feature, event_timestamp=NOW - timedelta(minutes=age))
        for key, all_ages in ages.items()
        for age in all_ages
    )  # fmt: skip


minutes = st.integers(1, 120)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    ages=st.dictionaries(st.sampled_from("abcdef"), st.lists(minutes, max_size=3), max_size=6),
    refresh=st.none() | minutes,
    ttl=st.none() | minutes,
)
def test_it_agrees_with_the_freshness_of_each_newest_value(
    ages: dict[str, list[float]], refresh: int | None, ttl: int | None
) -> None:
    FeatureValue.objects.all().delete()
    KnownEntity.objects.all().delete()
    fill(ages)
    spans = {"declared_refresh": refresh, "ttl": ttl}
    row = defined(**{name: None if span is None else timedelta(minutes=span) for name, span in spans.items()})
    limits = FreshnessLimits(refresh=row.refresh, stale_tolerance=timedelta(0), ttl=row.ttl)
    expected = dict.fromkeys(("fresh", "stale", "expired", "missing"), 0)
    for all_ages in ages.values():
        if not all_ages:
            expected["missing"] += 1
            continue
        state = freshness(NOW - timedelta(minutes=min(all_ages)), limits, NOW)
        expected["stale" if state is Freshness.OVERDUE else state.value] += 1
    found = coverages([row], now=NOW)["speed"]
    assert (dict(found.parts()), found.entities) == (expected, len(ages))


def test_many_features_are_one_statement(django_assert_num_queries: Any) -> None:
    fill({"a": [1], "b": []})
    fill({"a": [500]}, feature="weight")
    rows = [defined(declared_refresh=timedelta(hours=1)), defined("weight", declared_refresh=timedelta(hours=1))]
    with django_assert_num_queries(1):
        found = coverages(rows, now=NOW)
    assert (found["speed"].fresh, found["speed"].missing, found["weight"].stale) == (1, 1, 1)


def test_of_many_entities_those_seen_last_are_looked_at() -> None:
    fill({f"r{number}": [1] for number in range(20)})
    KnownEntity.objects.filter(entity_key__in=["r1", "r2"]).update(last_seen_at=NOW - timedelta(days=31))
    assert coverages([defined()], now=NOW)["speed"].entities == 18
    partial = coverages([defined()], now=NOW, most=5)["speed"]
    assert (partial.entities, partial.is_partial, partial.fresh) == (5, True, 5)
