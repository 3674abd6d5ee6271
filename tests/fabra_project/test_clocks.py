"""A clock that is set back: what was written by the clock before it does not wait until that time comes again."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from common.clocks import is_past, is_reached
from events import tasks
from events.event import AxiomEvent
from events.models import Event, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from events.outbox import record_event
from events.processing import release_abandoned
from fabra_project.beat import SteadyScheduler
from fabra_project.celery import app
from features.models import MaterializationRun
from tests.broker import messages
from tests.processes import wait_until

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def event() -> Event:
    event, _ = record_event(
        AxiomEvent(event_type="message_sent", entity_id="user_123", payload={}), Event.Source.API
    )  # fmt: skip
    return event


def ahead() -> datetime:
    return timezone.now() + HOUR


def test_an_event_of_a_clock_ahead_is_processed_now(event: Event) -> None:
    Event.objects.update(received_at=ahead(), next_attempt_at=ahead(), dispatched_at=ahead())
    tasks.sweep()
    assert [each.args for each in messages()] == [[event.pk]]
    tasks.process_event(event.pk)
    event.refresh_from_db()
    assert event.finished_at is not None


def test_a_retry_waits_as_long_as_its_longest_wait_at_most(event: Event) -> None:
    for wait, is_due in ((timedelta(minutes=5), False), (HOUR, True), (-HOUR, True)):
        Event.objects.update(state=Event.State.RETRYING, next_attempt_at=timezone.now() + wait)
        assert Event.objects.due().exists() == is_due


def test_an_event_whose_worker_died_before_the_clock_was_set_back_is_released(event: Event) -> None:
    Event.objects.update(state=Event.State.RUNNING, started_at=ahead())
    assert [row.pk for row in release_abandoned()] == [event.pk]


def test_a_run_whose_heartbeat_lies_ahead_has_lost_its_worker() -> None:
    MaterializationRun.objects.create(feature="user_tier", heartbeat_at=ahead())
    assert MaterializationRun.objects.all().orphaned().exists()
    MaterializationRun.objects.update(heartbeat_at=timezone.now() + timedelta(seconds=5))
    assert not MaterializationRun.objects.all().orphaned().exists(), "clocks differ by seconds"


@pytest.fixture
def endpoint(event: Event) -> WebhookEndpoint:
    """Return an endpoint with a delivery that waits."""
    endpoint = WebhookEndpoint.objects.create(name="crm", url="https://crm.example", event_types=["message_sent"])
    WebhookDelivery.objects.create(endpoint=endpoint, event=event)
    return endpoint


def swept() -> list[int]:
    """Return the endpoints that the sweep enqueues."""
    tasks.sweep_webhooks()
    return [each.args[0] for each in messages() if each.task.endswith("send_webhooks")]


def test_a_delivery_of_a_clock_ahead_is_sent_now(endpoint: WebhookEndpoint) -> None:
    WebhookDelivery.objects.update(next_attempt_at=ahead())
    WebhookEndpoint.objects.update(dispatched_at=ahead())
    assert swept() == [endpoint.pk]


def test_a_delivery_that_failed_waits_unless_a_clock_ahead_says_so(endpoint: WebhookEndpoint) -> None:
    delivery = WebhookDelivery.objects.get()
    WebhookDelivery.objects.update(state="failed", attempts=1, next_attempt_at=ahead())
    WebhookEndpoint.objects.update(dispatched_at=timezone.now() - HOUR)
    WebhookAttempt.objects.create(delivery=delivery, attempted_at=timezone.now(), duration_ms=1.0)
    assert swept() == []
    WebhookAttempt.objects.update(attempted_at=ahead())
    assert swept() == [endpoint.pk]


def test_an_endpoint_that_a_clock_ahead_paused_is_asked_again(endpoint: WebhookEndpoint) -> None:
    WebhookEndpoint.objects.update(
        paused_until=ahead(), last_failure_at=timezone.now(), dispatched_at=timezone.now() - HOUR
    )
    assert swept() == []
    WebhookEndpoint.objects.update(last_failure_at=ahead() - timedelta(minutes=5))
    assert swept() == [endpoint.pk]


def test_no_time_that_something_waits_for_is_compared_as_if_clocks_were_right() -> None:
    columns = "next_attempt_at|paused_until|dispatched_at|retry_at|worked_at|heartbeat_at|purge_ended_at|erased_at"
    plain = re.compile(rf"({columns})__(lt|lte|gt|gte)\b")
    apps = ("common", "events", "features", "retrieval", "contexts", "chat")
    files = [path for app in apps for path in (settings.BASE_DIR / app).rglob("*.py") if "migrations" not in path.parts]
    found = [f"{path.name}: {match[0]}" for path in files for match in plain.finditer(path.read_text())]
    assert files and found == [], "common/clocks.py has conditions for it"


def test_conditions_are_of_times_before_now_or_of_a_wrong_clock(event: Event) -> None:
    def found(condition: Any, moment: datetime) -> bool:
        Event.objects.update(dispatched_at=moment)
        return Event.objects.filter(condition).exists()

    now = timezone.now()
    past = is_past("dispatched_at", since=timedelta(seconds=20), now=now)
    assert [found(past, now - timedelta(seconds=s)) for s in (21, 19, -30, -90)] == [True, False, False, True]
    reached = is_reached("dispatched_at", longest=HOUR, now=now)
    assert [found(reached, now + timedelta(minutes=m)) for m in (0, 1, 60, 62)] == [True, False, False, True]


@pytest.mark.django_db(transaction=True)
def test_the_schedule_counts_from_now_on_after_a_step_back(caplog: pytest.LogCaptureFixture) -> None:
    PeriodicTask.objects.all().delete()
    schedule, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(name="sweep", task="events.tasks.sweep", interval=schedule, last_run_at=ahead())
    PeriodicTask.objects.create(name="prune", task="common.tasks.prune", interval=schedule)
    beat = SteadyScheduler(app=app, lazy=True)
    beat.tick()
    assert "1 entries of the schedule count from now on" in caplog.text

    def sent() -> set[str]:
        beat.tick()
        return {each.task for each in messages()}

    wait_until(lambda: sent() == {"events.tasks.sweep", "common.tasks.prune"})
    beat.sync()
    assert not PeriodicTask.objects.filter(last_run_at__gt=timezone.now()).exists()
