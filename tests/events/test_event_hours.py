"""The chart of a month is right, though it reads few events: the past hours are kept as sums."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.retention import prune_kind
from events.hours import is_turn_of, keep_hours
from events.models import Event, EventHour
from events.retention import EVENTS
from events.statistics import RANGES, flow_of
from tests.factories import EventFactory

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 6, 17, 11, 20, tzinfo=UTC)
WEEK, MONTH = RANGES["7d"], RANGES["30d"]
states = st.sampled_from(Event.State.values)


def add(hours_ago: float, state: str, **fields: Any) -> Event:
    return EventFactory.create(received_at=NOW - timedelta(hours=hours_ago), state=state, **fields)


def counted(span: Any) -> list[tuple[int, ...]]:
    return [
        (step.done, step.superseded, step.unhandled, step.waiting, step.dead, step.retries)
        for step in flow_of(span, NOW)[1]
    ]


def expected(span: Any) -> list[tuple[int, ...]]:
    """Count each event of the range in its step."""
    step_s = span.step.total_seconds()
    until = datetime.fromtimestamp(math.ceil(NOW.timestamp() / step_s) * step_s, UTC)
    steps = [[0] * 6 for _ in range(span.length // span.step)]
    for event in Event.objects.filter(received_at__gte=until - span.length, received_at__lt=until):
        found = steps[(event.received_at - (until - span.length)) // span.step]
        kinds = ["done", "superseded", "unhandled", None, "dead"]
        found[kinds.index(event.state) if event.state in kinds else 3] += 1
        found[5] += max(event.attempts - 1, 0)
    return [tuple(step) for step in steps]


# Few hours, so that changes meet: the current one, one that has just ended, a day ago, at both ranges' beginnings.
hours_ago = st.sampled_from([0.1, 0.4, 1, 26, 26.3, 167, 719, 730])
events = st.lists(st.tuples(hours_ago, states, st.integers(0, 3)), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(events=events, changes=st.lists(st.tuples(st.integers(0, 11), states), max_size=6), late=events)
def test_the_sums_agree_with_the_events_whatever_became_of_them(events: Any, changes: Any, late: Any) -> None:
    Event.objects.all().delete()
    EventHour.objects.all().delete()
    added = [add(ago, state, attempts=attempts) for ago, state, attempts in events]
    assert counted(MONTH) == expected(MONTH)
    keep_hours(NOW)
    assert counted(MONTH) == expected(MONTH)
    # What waits may end, what has ended may be put back into the queue and end otherwise; a read knows it at once.
    for number, state in changes:
        if number < len(added):
            Event.objects.filter(pk=added[number].pk).requeue()
            assert counted(MONTH) == expected(MONTH)
            Event.objects.filter(pk=added[number].pk).update(state=state)
            assert counted(MONTH) == expected(MONTH)
    for ago, state, attempts in late:
        add(ago, state, attempts=attempts)
    Event.objects.filter(pk__in=[event.pk for event in added[:2]]).delete()
    keep_hours(NOW)
    is_old = any(ago > 6 for ago, *_ in [*late, *events])  # a later turn finds it
    assert is_old or counted(MONTH) == expected(MONTH)
    keep_hours(NOW, checks_all=True)
    EventHour.objects.filter(hour__gte=NOW - timedelta(hours=3)).delete()  # a beat that stood still
    assert (counted(WEEK), counted(MONTH)) == (expected(WEEK), expected(MONTH))


def test_a_turn_reads_few_hours_and_the_turns_of_a_day_all() -> None:
    turns = [NOW + number * timedelta(minutes=10) for number in range(144)]
    hours = [NOW.replace(minute=0) - timedelta(hours=ago) for ago in range(31 * 24)]
    read = [sum(is_turn_of(hour, turn) for hour in hours) for turn in turns]
    assert max(read) <= 7
    assert all(any(is_turn_of(hour, turn) for turn in turns) for hour in hours)
    late = add(26, "done")
    for turn in turns:
        keep_hours(turn)
    assert EventHour.objects.get(hour=late.received_at.replace(minute=0)).events == 1


def test_an_event_that_waited_is_counted_at_once_where_it_ends() -> None:
    waiting, dead = add(50, "retrying", attempts=2), add(50, "dead", attempts=6)
    keep_hours(NOW)
    for event in (waiting, dead):
        Event.objects.filter(pk=event.pk).update(state="done")
        assert counted(MONTH) == expected(MONTH)


def test_past_hours_are_read_from_their_sums() -> None:
    for ago in range(1, 700, 7):
        add(ago, "done")
    assert keep_hours(NOW) == 31 * 24
    assert keep_hours(NOW) == 0
    with CaptureQueriesContext(
        connection,
    ) as queries:
        whole, _ = flow_of(MONTH, NOW)
    assert whole.done == 100
    assert len(queries) == 3
    Event.objects.filter(received_at__lt=NOW - timedelta(hours=3)).update(received_at=NOW - timedelta(days=300))
    assert flow_of(MONTH, NOW)[0].done == 100


def test_what_is_pruned_stays_in_the_chart(settings: Any) -> None:
    settings.FABRA_EVENT_RETENTION = timedelta(days=7)
    now = timezone.now()
    for days in (1, 6, 8, 20):
        EventFactory.create(received_at=now - timedelta(days=days), state="done")
    EventFactory.create(received_at=now - timedelta(days=20), state="dead")
    keep_hours()
    assert prune_kind(EVENTS) == (2, True)
    keep_hours()
    whole, _ = flow_of(MONTH)
    assert (whole.done, whole.dead) == (4, 1)


def test_the_lags_of_a_month_are_nearly_exact() -> None:
    for number in range(1, 101):
        at = NOW - timedelta(hours=30)
        EventFactory.create(received_at=at, applied_at=at + timedelta(milliseconds=10 * number), state="done")
    keep_hours(NOW)
    for span in (WEEK, MONTH):
        whole, _ = flow_of(span, NOW)
        assert whole.lag_p50_s == pytest.approx(0.5, rel=0.03)
        assert whole.lag_p95_s == pytest.approx(0.95, rel=0.03)
