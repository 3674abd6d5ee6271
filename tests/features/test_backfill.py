"""Backfill: a feature computed as of past moments, once each, whatever dies in between."""

import signal
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db.models import Count
from django.utils import timezone

from common.errors import DefinitionError, InvalidInput
from contexts.store import FeatureStore
from features.declaration import entity, feature
from features.dispatch import enqueue_run
from features.models import FeatureValue, KnownEntity, MaterializationRun
from features.models.runs import ORPHANED_AFTER
from features.tasks import upkeep
from tests.processes import Processes, wait_until

store = FeatureStore()
START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=4)


@pytest.fixture
def hour() -> list[tuple[str, datetime]]:
    calls: list[tuple[str, datetime]] = []

    @entity(store)
    class Cow:
        cow_id: str

    @feature(entity=Cow, ttl="1h")
    def hour(cow_id: str, as_of: datetime) -> Any:
        calls.append((cow_id, as_of))
        if (cow_id, as_of.hour) == ("berta", 2):
            raise ValueError("asleep")
        return as_of.hour

    @feature(entity=Cow)
    def timeless(cow_id: str) -> int:
        return 1

    return calls


@pytest.mark.django_db
def test_each_moment_of_the_range_is_computed_and_stored_at_its_time(hour: list[Any]) -> None:
    started = datetime.now(UTC)
    run = async_to_sync(store.materialize)("hour", ["anna", "berta"], START, END, "2h")
    assert (run.kind, run.state, run.total, run.done, run.failed) == ("backfill", "done", 6, 5, 1)
    assert sorted(hour) == sorted((key, START + timedelta(hours=n)) for n in (0, 2, 4) for key in ("anna", "berta"))
    rows = FeatureValue.objects.filter(run=run, source="backfilled")
    assert all(row.value == row.event_timestamp.hour and row.created_at >= started for row in rows)
    asked = [{"cow_id": "anna", "event_timestamp": START + timedelta(hours=n, minutes=30)} for n in range(4)]
    answered = async_to_sync(store.get_historical_features)(asked, ["hour"])
    assert [row["hour"] for row in answered] == [0, None, 2, None]  # good for an hour each, then for nobody
    known_then = async_to_sync(store.get_historical_features)(asked, ["hour"], known_at=START + timedelta(days=1))
    assert {row["hour"] for row in known_then} == {None}  # nobody knew it at the time


@pytest.mark.django_db
def test_a_second_backfill_of_the_same_values_writes_nothing(hour: list[Any]) -> None:
    async_to_sync(store.materialize)("hour", ["anna", "berta"], START, END, "2h")
    rows = set(FeatureValue.objects.values_list("pk", flat=True))
    again = async_to_sync(store.materialize)("hour", ["anna", "berta"], START, END, "2h")
    assert (again.done, again.unchanged) == (5, 5)
    assert set(FeatureValue.objects.values_list("pk", flat=True)) == rows
    FeatureValue.objects.filter(entity_key="anna", event_timestamp=START).update(value=7)
    changed = async_to_sync(store.materialize)("hour", ["anna"], START, END, "2h")
    assert (changed.done, changed.unchanged) == (3, 2)
    asked = {"cow_id": "anna", "event_timestamp": START}
    assert async_to_sync(store.get_historical_features)([asked], ["hour"])[0]["hour"] == 0


@pytest.mark.django_db
def test_a_newer_value_stays_online(hour: list[Any]) -> None:
    async_to_sync(store.set_feature)("hour", "anna", "now")
    async_to_sync(store.materialize)("hour", ["anna"], START, END, "1h")
    assert async_to_sync(store.get_feature)("hour", "anna") == "now"


@pytest.mark.django_db
def test_a_miss_computes_as_of_now(hour: list[Any]) -> None:
    before = datetime.now(UTC)
    async_to_sync(store.get_feature)("hour", "anna")
    assert before <= hour[0][1] <= datetime.now(UTC)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"feature": "timeless"}, r"takes no `as_of`. Declare it as timeless\(cow_id, as_of\)"),
        ({"start": None}, "needs a start"),
        ({"start": datetime(2026, 1, 1)}, "with a timezone"),  # noqa: DTZ001
        ({"start": END, "end": START}, "must not be after"),
        ({"end": datetime(2999, 1, 1, tzinfo=UTC)}, "must end by now"),
        ({"end": None, "start": datetime(1000, 1, 1, tzinfo=UTC)}, "at most 100,000 moments"),
        ({"every": "soon"}, "every must be"),
    ],
)
def test_what_cannot_be_backfilled_is_refused(hour: list[Any], arguments: dict[str, Any], message: str) -> None:
    asked = {"feature": "hour", "start": START, "end": END, "every": "1h", **arguments}
    with pytest.raises((InvalidInput, DefinitionError), match=message):
        async_to_sync(store.materialize)(**asked)
    assert not MaterializationRun.objects.exists()


def test_a_triggered_feature_takes_no_as_of(hour: list[Any]) -> None:
    with pytest.raises(DefinitionError, match="takes no `as_of`"):
        feature(entity="Cow", trigger="milked", name="milk")(lambda cow_id, event, as_of: 1)


def command(*args: str, **options: Any) -> str:
    out = StringIO()
    call_command("materialize", *args, stdout=out, stderr=out, **options)
    return out.getvalue()


@pytest.mark.django_db
def test_the_command_backfills_and_says_how_far_it_is(hour: list[Any]) -> None:
    said = command("hour", "--entity-ids", "anna", "berta", "--start", "2026-01-01", "--end", "2026-01-01T04:00Z",
                   "--every", "2h")  # fmt: skip
    assert "100%  6/6, 1 failed  done in" in said
    assert "berta: ValueError('asleep')" in said


@pytest.mark.django_db
def test_the_command_refuses_in_one_line(hour: list[Any]) -> None:
    for args, message in [
        (["nothing"], "no feature 'nothing'"),
        ([], "Name a feature"),
        (["--resume", "99"], "no run 99"),
        (["timeless", "--start", "2026-01-01", "--every", "1h"], "takes no `as_of`"),
        (["hour", "--start", "yesterday"], "is no moment"),
    ]:
        with pytest.raises((CommandError, SystemExit), match=message):
            command(*args)
    done = async_to_sync(store.materialize)("hour", ["anna"])
    with pytest.raises(CommandError, match="nothing left to do"):
        command("--resume", str(done.pk))


DEFINITIONS = """
import time
from pathlib import Path
from fabra.core import entity, feature

@entity()
class Cow:
    cow_id: str

held, calls = Path(__file__).with_name("held"), 0

@feature(entity=Cow, batch=True, batch_size=20)
def slow(cow_ids, as_of):
    global calls
    calls += 1
    time.sleep(0.03)
    while held.exists() and calls > int(held.read_text()):
        time.sleep(0.02)
    return [as_of.hour for _ in cow_ids]
"""
"""While there is a file `held`, a process comes to a stop after as many calls as it says."""


@pytest.mark.django_db(transaction=True)
def test_a_backfill_that_is_killed_goes_on_and_stores_each_value_once(tmp_path: Path) -> None:
    (tmp_path / "cows.py").write_text(DEFINITIONS)
    KnownEntity.objects.bulk_create(KnownEntity(entity="Cow", entity_key=f"c{number:03}") for number in range(100))
    environment, seen = {"FABRA_DEFINITIONS": "cows", "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}, 0
    (tmp_path / "held").write_text("5")  # calls for a moment of the hundred
    with Processes(tmp_path, **environment) as processes:
        processes.start(
            "first", "manage.py", "materialize", "slow",
            "--start", START.isoformat(), "--end", END.isoformat(), "--every", "1h",
        )  # fmt: skip
        for number in range(3):
            run = wait_until(MaterializationRun.objects.filter(state="running", done__gt=seen).first)
            seen = run.done
            name = list(processes.running)[-1]
            processes.kill(name)
            assert MaterializationRun.objects.get().state == "running"
            if number == 2:
                (tmp_path / "held").unlink()
            processes.start(f"{name}+", "manage.py", "materialize", "--resume", str(run.pk))
        last = list(processes.running.values())[-1]
        assert last.wait(240) == 0
    run = MaterializationRun.objects.get()
    assert (run.state, run.done, run.total, run.claims) == ("done", 500, 500, 4)
    counted = FeatureValue.objects.values("entity_key", "event_timestamp").annotate(n=Count("id"))
    assert (len(counted), {row["n"] for row in counted}) == (500, {1})


@pytest.mark.django_db(transaction=True)
def test_a_run_goes_on_by_itself_when_its_worker_is_killed(tmp_path: Path) -> None:
    (tmp_path / "cows.py").write_text(DEFINITIONS)
    KnownEntity.objects.bulk_create(KnownEntity(entity="Cow", entity_key=f"c{number:04}") for number in range(1000))
    (tmp_path / "held").write_text("10")  # calls for a chunk of the run
    run = MaterializationRun.objects.create(feature="slow")
    environment = {"FABRA_DEFINITIONS": "cows", "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}
    with Processes(tmp_path, **environment) as processes:
        processes.start_worker()
        enqueue_run(run.pk)
        wait_until(MaterializationRun.objects.filter(done__gt=0).exists)
        processes.kill_family("worker")
        assert MaterializationRun.objects.get().state == "running"
        MaterializationRun.objects.update(heartbeat_at=timezone.now() - 2 * ORPHANED_AFTER)
        (tmp_path / "held").unlink()
        processes.start_worker()
        wait_until(lambda: upkeep() or MaterializationRun.objects.filter(state="done").exists(), 240)
    run.refresh_from_db()
    assert (run.done, run.claims) == (1000, 2)
    assert FeatureValue.objects.count() == FeatureValue.objects.distinct("entity_key").count() == 1000


@pytest.mark.django_db(transaction=True)
def test_an_interrupted_command_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "cows.py").write_text(DEFINITIONS)
    KnownEntity.objects.bulk_create(KnownEntity(entity="Cow", entity_key=f"c{number:03}") for number in range(100))
    environment = {"FABRA_DEFINITIONS": "cows", "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}
    with Processes(tmp_path, **environment) as processes:
        first = processes.start(
            "first", "manage.py", "materialize", "slow", "--start", START.isoformat(), "--every", "6h"
        )
        run = wait_until(lambda: MaterializationRun.objects.filter(done__gt=0).first())
        first.send_signal(signal.SIGINT)
        assert first.wait(120) == 130
        assert f"--resume {run.pk}" in (tmp_path / "first.log").read_text()
        run.refresh_from_db()
        assert run.state == "stopped"
