"""A clock that is set back: what was written by the clock before it does not wait until that time comes again."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from chat.models import Conversation
from common.clocks import is_past, is_reached
from common.models import ClockReading
from common.retention import prune
from common.retention.clock import earlier_now, trusted_now
from events import tasks
from events.event import AxiomEvent
from events.models import Event, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from events.outbox import record_event
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
    assert [message.args for message in messages()] == [[event.pk]]
    tasks.process_event(event.pk)
    event.refresh_from_db()
    assert event.finished_at is not None


def test_a_retry_waits_as_long_as_its_longest_wait_at_most(event: Event) -> None:
    for wait, is_due in ((timedelta(minutes=5), False), (HOUR, True), (-HOUR, True)):
        Event.objects.update(state=Event.State.RETRYING, next_attempt_at=timezone.now() + wait)
        assert Event.objects.due().exists() == is_due


def test_an_event_whose_worker_died_before_the_clock_was_set_back_is_released(event: Event) -> None:
    Event.objects.update(state=Event.State.RUNNING, started_at=ahead())
    assert [row.pk for row in Event.objects.release_abandoned()] == [event.pk]


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
    return [message.args[0] for message in messages() if message.task.endswith("send_webhooks")]


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
        return {message.task for message in messages()}

    wait_until(lambda: sent() == {"events.tasks.sweep", "common.tasks.prune"})
    beat.sync()
    assert not PeriodicTask.objects.filter(last_run_at__gt=timezone.now()).exists()


# ---------------------------------------------------------------- work that deletes by age


@pytest.fixture
def old_and_young() -> tuple[Conversation, Conversation]:
    prune()  # when the clock was right
    old, young = (Conversation.objects.create(user_id="u") for _ in range(2))
    Conversation.objects.filter(pk=old.pk).update(last_message_at=timezone.now() - timedelta(days=366))
    return old, young


def left() -> set[int]:
    return set(Conversation.objects.values_list("pk", flat=True))


def test_a_clock_that_was_set_forward_prunes_nothing_until_an_operator_believes_it(
    old_and_young: tuple[Conversation, Conversation], admin_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = timezone.now() + timedelta(days=400)
    assert prune(now=wrong)
    assert len(left()) == 2
    assert "Nothing is pruned" in caplog.text
    assert "The clock is right: go on" in admin_client.get(reverse("common:storage")).content.decode()
    prune()  # it was set back
    assert left() == {old_and_young[1].pk}
    assert "The clock is right" not in admin_client.get(reverse("common:storage")).content.decode()


def test_what_was_switched_off_for_long_goes_on_when_an_operator_says_so(
    old_and_young: tuple[Conversation, Conversation], admin_client: Client
) -> None:
    ClockReading.objects.update(read_at=timezone.now() - timedelta(days=60))
    assert prune() and len(left()) == 2
    admin_client.post(reverse("common:believe_clock"))
    assert [message.task for message in messages()] == ["common.tasks.prune"]
    assert prune() and left() == {old_and_young[1].pk}


def test_the_command_asks_whether_the_clock_is_right(old_and_young: tuple[Conversation, Conversation]) -> None:
    ClockReading.objects.update(read_at=timezone.now() - timedelta(days=60))
    with pytest.raises(CommandError, match="--clock-is-right"):
        call_command("prune")
    assert len(left()) == 2
    call_command("prune", clock_is_right=True)
    assert left() == {old_and_young[1].pk}


def test_a_clock_that_goes_on_for_a_week_is_believed() -> None:
    start = timezone.now()
    assert trusted_now(start) == start
    later = start + timedelta(days=30)
    hours = [trusted_now(later + timedelta(hours=hour)) for hour in range(7 * 24 + 1)]
    assert set(hours[:-1]) == {None} and hours[-1] == later + timedelta(days=7)


def test_a_doubted_clock_that_steps_again_is_doubted_anew() -> None:
    start = timezone.now()
    trusted_now(start)
    for days in (30, 34, 60, 64, 50, 55, 56):  # each time since the last step at most a week
        assert trusted_now(start + timedelta(days=days)) is None, days
    assert trusted_now(start + timedelta(days=6)), "it was set right"


def test_a_clock_that_was_set_back_prunes_less_and_is_no_ground_to_doubt_the_right_one() -> None:
    start = timezone.now()
    trusted_now(start)
    back = start - timedelta(days=5)
    assert trusted_now(back) == back
    assert trusted_now(start) == start


def test_the_earlier_of_two_clocks_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    right = timezone.now()
    monkeypatch.setattr("django.utils.timezone.now", lambda: right + timedelta(days=400))
    assert earlier_now() - right < timedelta(minutes=1), "PostgreSQL's"
    monkeypatch.setattr("django.utils.timezone.now", lambda: right - timedelta(days=400))
    assert earlier_now() == right - timedelta(days=400), "this machine's"


@pytest.fixture
def delivery(event: Event) -> WebhookDelivery:
    endpoint = WebhookEndpoint.objects.create(name="desk", url="https://desk.example.com/", event_types=["*"])
    WebhookDelivery.objects.expire()
    return WebhookDelivery.objects.create(endpoint=endpoint, event=event)


def test_deliveries_are_not_given_up_by_a_clock_that_was_set_forward(delivery: WebhookDelivery) -> None:
    # As if all times before the step had been written a day ago.
    ClockReading.objects.update(read_at=F("read_at") - timedelta(hours=25))
    WebhookDelivery.objects.update(give_up_at=F("give_up_at") - timedelta(hours=25))
    assert WebhookDelivery.objects.expire() == 0
    delivery.refresh_from_db()
    assert timedelta(hours=23) < delivery.give_up_at - timezone.now() < timedelta(hours=25)


def test_deliveries_are_given_up_in_their_time_and_after_a_clock_was_set_back(delivery: WebhookDelivery) -> None:
    ClockReading.objects.update(read_at=timezone.now() + timedelta(hours=25))
    assert WebhookDelivery.objects.expire() == 0
    WebhookDelivery.objects.update(give_up_at=timezone.now())
    assert WebhookDelivery.objects.expire() == 1
