"""The admin of the feature store: materialise, requeue, and what an operator may change."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from common.admin.base import EstimatedPaginator, distinct_values
from events.models import Event, HandlerOutcome
from features.declaration import entity
from features.declaration import feature as declare
from features.materialization.schedule import MATERIALIZE_TASK
from features.models import FeatureDefinition, FeatureValue, MaterializationRun
from tests.factories import EventFactory, FeatureValueFactory

pytestmark = pytest.mark.django_db

FEATURES = "admin:features_featuredefinition_changelist"
FEATURE = "admin:features_featuredefinition_change"
EVENTS = "admin:events_event_changelist"
EVENT = "admin:events_event_change"


@pytest.fixture
def feature() -> FeatureDefinition:
    @entity()
    class Robot:
        robot_id: str

    declare(entity=Robot, name="speed", materialize=True)(lambda robot_id: 1)
    return FeatureDefinition.objects.create(
        name="speed", entity="Robot", location="here:1", declared_refresh=timedelta(hours=1), materialize=True
    )


@pytest.fixture
def dead() -> Event:
    event: Event = EventFactory.create(
        event_type="robot_moved", entity_id="r1", payload={"x": 1}, state="dead", attempts=6,
        error="Traceback\nValueError: <b>no</b>",
    )  # fmt: skip
    return event


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def act(client: Client, url: str, action: str, *pks: int) -> Any:
    return client.post(reverse(url), {"action": action, "_selected_action": pks})


def test_materialise_now_makes_a_run(feature: FeatureDefinition, admin_client: Client) -> None:
    response = act(admin_client, FEATURES, "materialize_now", feature.pk)
    run = MaterializationRun.objects.get()
    assert (run.feature, run.state, run.slot) == ("speed", "queued", None)
    assert f"speed #{run.pk}" in said(response)


def test_materialise_now_says_that_the_broker_is_down(
    feature: FeatureDefinition, admin_client: Client, broker_down: None
) -> None:
    response = act(admin_client, FEATURES, "materialize_now", feature.pk)
    assert response.status_code == 302
    assert "The broker does not answer" in said(response)
    assert MaterializationRun.objects.get().state == "queued"


@pytest.mark.parametrize("change", [{"trigger": "robot_moved"}, {"gone_at": timezone.now()}, {"is_enabled": False}])
def test_what_cannot_run_is_not_started(
    change: dict[str, Any], feature: FeatureDefinition, admin_client: Client
) -> None:
    FeatureDefinition.objects.update(**change)
    response = act(admin_client, FEATURES, "materialize_now", feature.pk)
    assert "speed" in said(response)
    assert not MaterializationRun.objects.exists()


def test_only_the_operators_fields_can_be_changed(feature: FeatureDefinition, admin_client: Client) -> None:
    data = {"name": "other", "entity": "Other", "refresh_override": "00:05:00", "is_enabled": "on"}
    assert admin_client.post(reverse(FEATURE, args=[feature.pk]), data).status_code == 302
    feature.refresh_from_db()
    assert (feature.name, feature.entity, feature.is_scheduled) == ("speed", "Robot", False)
    assert feature.refresh_override == timedelta(minutes=5)
    entry = PeriodicTask.objects.get(name="materialise speed")
    assert (entry.interval.every, entry.enabled) == (300, False)


@pytest.mark.parametrize("refresh", ["00:00:00", "soon", "-1"])
def test_a_refresh_that_cannot_be_is_refused(refresh: str, feature: FeatureDefinition, admin_client: Client) -> None:
    response = admin_client.post(reverse(FEATURE, args=[feature.pk]), {"refresh_override": refresh})
    assert "refresh_override" in response.context["adminform"].form.errors


@pytest.mark.parametrize(("action", "is_scheduled"), [("disable", False), ("enable", True)])
def test_switching_a_beat_entry_switches_its_feature(
    action: str, is_scheduled: bool, feature: FeatureDefinition, admin_client: Client
) -> None:
    FeatureDefinition.objects.update(is_scheduled=not is_scheduled)
    entry = PeriodicTask.objects.get(name="materialise speed")
    PeriodicTask.objects.update(enabled=not is_scheduled)
    act(admin_client, "admin:django_celery_beat_periodictask_changelist", action, entry.pk)
    feature.refresh_from_db()
    assert feature.is_scheduled is is_scheduled


def test_a_features_beat_entry_changes_its_interval_only(feature: FeatureDefinition, admin_client: Client) -> None:
    entry = PeriodicTask.objects.get(name="materialise speed")
    minutes = IntervalSchedule.objects.create(every=7, period=IntervalSchedule.MINUTES)
    url = reverse("admin:django_celery_beat_periodictask_change", args=[entry.pk])
    data = {"name": "x", "task": "features.tasks.sweep", "interval": minutes.pk, "enabled": "on", "args": "[]"}
    assert admin_client.post(url, data).status_code == 302
    entry.refresh_from_db()
    feature.refresh_from_db()
    assert (entry.task, json.loads(entry.args)) == (MATERIALIZE_TASK, ["speed"])
    assert feature.refresh_override == timedelta(minutes=7)


@pytest.mark.parametrize(("field", "value"), [("args", "{}"), ("args", "["), ("kwargs", "[]"), ("task", "no.such")])
def test_a_beat_entry_that_cannot_work_is_refused(field: str, value: str, admin_client: Client) -> None:
    interval = IntervalSchedule.objects.create(every=7, period=IntervalSchedule.MINUTES)
    data = {"name": "x", "task": "features.tasks.sweep", "interval": interval.pk, "args": "[]", "kwargs": "{}"}
    response = admin_client.post(reverse("admin:django_celery_beat_periodictask_add"), {**data, field: value})
    assert field in response.context["adminform"].form.errors


def test_requeue_puts_ended_events_back(dead: Event, admin_client: Client) -> None:
    response = act(admin_client, EVENTS, "requeue_events", dead.pk)
    dead.refresh_from_db()
    assert (dead.state, dead.attempts, dead.error) == ("received", 0, "")
    assert "1 back in the queue" in said(response)


def test_dead_events_are_announced_over_the_list(dead: Event, admin_client: Client) -> None:
    assert "1 dead" in admin_client.get(reverse(EVENTS)).content.decode()


def test_a_dead_events_payload_can_be_put_right(dead: Event, admin_client: Client) -> None:
    url = reverse(EVENT, args=[dead.pk])
    page = admin_client.get(url).content.decode()
    assert "Save and requeue" in page
    assert "ValueError: &lt;b&gt;no&lt;/b&gt;" in page
    assert admin_client.post(url, {"payload": '{"x": 2}', **_inline()}).status_code == 302
    dead.refresh_from_db()
    assert (dead.payload, dead.state, dead.digest) == ({"x": 2}, "dead", "0" * 64)
    admin_client.post(url, {"payload": '{"x": 3}', "_requeue": "1", **_inline()})
    dead.refresh_from_db()
    assert (dead.payload, dead.state) == ({"x": 3}, "received")


@pytest.mark.parametrize("payload", ["[1]", "{", '{"a": "\\u0000"}', "[" * 100_000, '{"a": NaN}', '{"a": "\\ud800"}'])
def test_a_payload_that_cannot_be_stored_is_refused(payload: str, dead: Event, admin_client: Client) -> None:
    response = admin_client.post(reverse(EVENT, args=[dead.pk]), {"payload": payload, "_requeue": "1", **_inline()})
    assert "payload" in response.context["adminform"].form.errors
    dead.refresh_from_db()
    assert (dead.payload, dead.state) == ({"x": 1}, "dead")


def test_a_live_event_is_read_only(dead: Event, admin_client: Client) -> None:
    Event.objects.update(state="done")
    HandlerOutcome.objects.create(event=dead, handler="feature:speed", is_done=True, detail={"value_id": 7})
    url = reverse(EVENT, args=[dead.pk])
    page = admin_client.get(url).content.decode()
    assert "Save and requeue" not in page
    assert "feature:speed" in page
    assert admin_client.post(url, {"payload": "{}", **_inline()}).status_code == 403


def _inline() -> dict[str, str]:
    return {"outcomes-TOTAL_FORMS": "0", "outcomes-INITIAL_FORMS": "0"}


def test_a_value_shows_its_history(admin_client: Client) -> None:
    now = timezone.now()
    rows = [
        FeatureValueFactory.create(entity_key="r1", value=f"value {age}", event_timestamp=now - timedelta(hours=age))
        for age in range(3)
    ]  # fmt: skip
    page = admin_client.get(reverse("admin:features_featurevalue_change", args=[rows[1].pk])).content.decode()
    assert page.index("value 0") < page.rindex("value 1") < page.index("value 2")


def test_long_lists_are_estimated_and_short_ones_counted() -> None:
    FeatureValue.objects.bulk_create(FeatureValueFactory.build_batch(300))
    assert EstimatedPaginator(FeatureValue.objects.order_by("pk"), 50).count == 300
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE features_featurevalue")

    class Short(EstimatedPaginator):
        counted_rows = 100

    assert Short(FeatureValue.objects.order_by("pk"), 50).count == pytest.approx(300, abs=30)


def test_distinct_values_are_each_found_once() -> None:
    FeatureValue.objects.bulk_create(FeatureValueFactory.build(entity_key="r", feature=f"f{n % 3}") for n in range(30))
    assert distinct_values(FeatureValue, "feature") == ["f0", "f1", "f2"]
