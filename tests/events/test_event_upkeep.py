"""What keeps events going: Celery's settings, the sweep, the pruning, and the command for operators."""

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django_celery_beat.models import PeriodicTask

from common.redis import plain_redis, redis_key
from common.retention import prune_kind
from events.dispatch import messages_in
from events.event import AxiomEvent
from events.models import Event, HandlerOutcome
from events.outbox import record_event
from events.retention import EVENTS
from events.tasks import sweep
from tests.broker import messages
from tests.factories import FeatureValueFactory
from tests.processes import PROJECT, test_environment

pytestmark = pytest.mark.django_db


def record(**fields: Any) -> Event:
    return record_event(AxiomEvent(**{"event_type": "poked", "entity_id": "b1", **fields}), Event.Source.API)[0]


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("CELERY_TASK_ACKS_LATE", False, "common.E001"),
        ("CELERY_TASK_REJECT_ON_WORKER_LOST", False, "common.E002"),
        ("CELERY_TASK_TIME_LIMIT", 3600, "common.E003"),
        ("CELERY_TASK_TIME_LIMIT", None, "common.E003"),
        ("CELERY_TASK_SOFT_TIME_LIMIT", 1000, "common.E003"),
        ("CELERY_BROKER_TRANSPORT_OPTIONS", {"visibility_timeout": 60}, "common.E003"),
    ],
)
def test_celery_that_could_lose_or_double_a_task_is_an_error(name: str, value: Any, number: str, settings: Any) -> None:
    assert [problem for problem in run_checks() if str(problem.id).startswith("common.")] == []
    setattr(settings, name, value)
    [found] = [problem for problem in run_checks() if str(problem.id).startswith("common.")]
    assert (found.id, bool(found.hint)) == (number, True)


def test_the_sweep_enqueues_again_what_celery_seems_to_have_lost() -> None:
    forgotten, fresh, state = record(), record(), record(event_type="doc_seen")
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    Event.objects.exclude(pk=fresh.pk).update(dispatched_at=long_ago)
    sweep()
    assert [(message.args[0], message.queue) for message in messages()] == [
        (state.pk, "state"),
        (forgotten.pk, "default"),
    ]
    sweep()
    assert len(messages()) == 2  # not again at once


@pytest.mark.django_db(transaction=True)
def test_what_only_waits_in_a_long_queue_is_not_told_again(settings: Any) -> None:
    waiting, lost = record(), record(event_type="doc_seen")
    assert (messages_in("default"), messages_in("state")) == (1, 1)
    Event.objects.update(dispatched_at=datetime.now(UTC) - timedelta(minutes=5))
    plain_redis().delete(redis_key("celery", "state"))
    settings.FABRA_EVENT_SWEEP_LIMIT = 1
    sweep()
    assert (messages_in("default"), messages_in("state")) == (1, 1)
    waiting.refresh_from_db()
    lost.refresh_from_db()
    assert waiting.dispatched_at < lost.dispatched_at


def test_processed_events_are_pruned_and_what_they_made_stays(settings: Any) -> None:
    settings.FABRA_EVENT_RETENTION = timedelta(days=30)
    old = [record(id=f"{state}-{number}") for state in Event.State.values for number in range(3)]
    for row in old:
        Event.objects.filter(pk=row.pk).update(
            state=row.event_id.split("-")[0], received_at=datetime.now(UTC) - timedelta(days=31)
        )
    young = record()
    Event.objects.filter(pk=young.pk).update(state="done")
    done = Event.objects.get(event_id="done-0")
    HandlerOutcome.objects.create(event=done, handler="x", is_done=True)
    value = FeatureValueFactory.create(event=done, source="event")
    assert prune_kind(replace(EVENTS, batch=2)) == (9, True)
    left = set(Event.objects.exclude(pk=young.pk).values_list("state", flat=True))
    assert left == {"received", "running", "retrying", "dead"}
    assert Event.objects.filter(pk=young.pk).exists()
    value.refresh_from_db()
    assert value.event is None


def test_beat_sweeps_and_prunes() -> None:
    assert PeriodicTask.objects.get(task="common.tasks.prune").interval.every == 3600
    entries = PeriodicTask.objects.filter(task__startswith="events.")
    assert dict(entries.values_list("task", "interval__every")) == {
        "events.tasks.sweep": 5,
        "events.tasks.sweep_webhooks": 5,
        "events.tasks.keep_hours": 600,
    }


def run(*words: str) -> str:
    out = StringIO()
    call_command("events", *words, stdout=out, no_color=True)
    return out.getvalue()


class TestCommand:
    def test_the_last_events_are_shown_and_filtered(self) -> None:
        record(entity_id="b1")
        record(entity_id="b2")
        dead = record(entity_id="b3", event_type="other")
        Event.objects.filter(pk=dead.pk).update(state="dead", attempts=6, error="Traceback\nValueError: no")
        lines = run("tail", "--no-follow").splitlines()
        assert [line.split()[4] for line in lines] == ["b1", "b2", "b3"]
        assert lines[2].endswith("attempt 6  ValueError: no")
        assert "b2" in run("tail", "--no-follow", "--last", "1", "--entity", "b2")
        assert run("tail", "--no-follow", "--type", "other").count("\n") == 1
        assert run("tail", "--no-follow", "--state", "dead").count("\n") == 1

    def test_dead_events_are_requeued_by_id_type_or_entity(self) -> None:
        for number in range(4):
            record(id=f"e{number}", entity_id=f"b{number % 2}")
        Event.objects.exclude(event_id="e3").update(state="dead")
        with pytest.raises(CommandError, match="--all"):
            run("requeue")
        assert run("requeue", "--id", "e0", "--id", "e3") == "1 back in the queue.\n"
        assert run("requeue", "--all", "--type", "nothing") == "0 back in the queue.\n"
        assert run("requeue", "--all", "--entity", "b0") == "1 back in the queue.\n"
        assert list(Event.objects.filter(state="dead").values_list("event_id", flat=True)) == ["e1"]

    @pytest.mark.django_db(transaction=True)
    def test_what_happens_is_followed_until_ctrl_c(self) -> None:
        record(entity_id="before")
        command = [sys.executable, "manage.py", "events", "tail"]
        process = subprocess.Popen(
            command, cwd=PROJECT, env=test_environment() | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            assert "before" in process.stdout.readline()
            row = record(entity_id="new")
            assert "received    poked  new" in process.stdout.readline()
            Event.objects.filter(pk=row.pk).update(state="done")
            assert "done        poked  new" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
            assert (process.returncode, out, err) == (0, "", "")
        finally:
            process.kill()
            process.wait()
