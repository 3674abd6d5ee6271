"""Materialisation: for every known entity, resumable, once for each slot."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, connection
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from common.errors import InvalidInput
from contexts.store import FeatureStore
from features.declaration import entity, feature
from features.dispatch import MATERIALIZE_RUN
from features.models import FeatureDefinition, FeatureValue, KnownEntity, MaterializationRun
from features.models.runs import ORPHANED_AFTER
from features.serving import online_store
from features.sync_definitions import sync_features
from features.tasks import materialize_run, materialize_slot, upkeep
from tests.broker import messages
from tests.embedders import WorkerDied
from tests.factories import FeatureValueFactory
from tests.processes import wait_until

pytestmark = pytest.mark.django_db
store = FeatureStore()
broken_keys = {"e03"}


@pytest.fixture
def while_computing() -> dict[str, Callable[[], object]]:
    """Return what happens while the feature of an entity is computed, by the entity's key; the test fills it in."""
    return {}


@pytest.fixture
def size(while_computing: dict[str, Callable[[], object]]) -> list[str]:
    computed: list[str] = []

    @entity(store)
    class Egg:
        egg_id: str

    @feature(entity=Egg, materialize=True, refresh="10m")
    def size(egg_id: str) -> int:
        computed.append(egg_id)
        if happens := while_computing.get(egg_id):
            happens()
        if egg_id in broken_keys:
            raise ValueError("no such egg")
        return len(computed)

    @feature(entity=Egg, trigger="laid")
    def laid(egg_id: str, event: Any) -> int:
        return 1

    KnownEntity.objects.touch("Egg", [f"e{number:02}" for number in range(10)])
    sync_features()
    return computed


def run_of(slot: datetime | None = None) -> MaterializationRun:
    return MaterializationRun.objects.get() if slot is None else MaterializationRun.objects.get(slot=slot)


def test_one_failure_stops_nobody_else(size: list[str]) -> None:
    run = async_to_sync(store.materialize)("size")
    assert (run.state, run.total, run.done, run.failed) == ("done", 10, 9, 1)
    assert run.errors == [{"entity_key": "e03", "error": "ValueError('no such egg')"}]
    assert FeatureValue.objects.filter(source="materialized", run=run).count() == 9
    assert async_to_sync(store.get_feature)("size", "e00") == 1
    assert sorted(size) == [f"e{number:02}" for number in range(10)]  # the read was served from the run's value


def test_given_entities_only(size: list[str]) -> None:
    run = async_to_sync(store.materialize)("size", entity_ids=["e05", "new"])
    assert (run.total, sorted(size)) == (2, ["e05", "new"])


def test_a_range_loads_offline_values_online(size: list[str]) -> None:
    now = datetime.now(UTC)
    for minutes, value in ((9, "old"), (5, "then"), (1, "later")):
        moment = now - timedelta(minutes=minutes)
        FeatureValueFactory.create(entity="Egg", entity_key="e01", feature="size", value=value, event_timestamp=moment)
    run = async_to_sync(store.materialize)("size", start=now - timedelta(minutes=8), end=now - timedelta(minutes=2))
    assert (run.state, run.done) == ("done", 1)
    assert async_to_sync(store.get_feature)("size", "e01") == "then"
    assert size == []


def test_a_triggered_feature_cannot_be_materialised(size: list[str]) -> None:
    with pytest.raises(InvalidInput, match="computed by its events"):
        async_to_sync(store.materialize)("laid")


def test_a_slot_is_done_once_however_often_beat_asks(size: list[str]) -> None:
    for _ in range(3):
        materialize_slot("size")
    run = run_of()
    assert run.state == "done"
    assert run.slot is not None
    assert run.slot.timestamp() % 600 == 0
    assert len(size) == 10


def die() -> None:
    raise WorkerDied


def test_a_run_whose_worker_died_goes_on_where_it_was(
    size: list[str], while_computing: dict[str, Callable[[], object]], settings: Any
) -> None:
    settings.FABRA_MATERIALIZE_CHUNK = 4
    while_computing["e09"] = die  # in the third chunk, before its commit
    with pytest.raises(BaseExceptionGroup) as died:
        materialize_slot("size")
    assert died.group_contains(WorkerDied)
    while_computing.clear()
    run = run_of()
    assert (run.state, run.cursor, run.worked) == ("running", "e07", 8)
    MaterializationRun.objects.update(heartbeat_at=timezone.now() - 2 * ORPHANED_AFTER)
    assert list(MaterializationRun.objects.all().orphaned()) == [run]
    materialize_run(run.pk)
    assert (run_of().state, run_of().done, run_of().failed, run_of().total) == ("done", 9, 1, 10)
    assert FeatureValue.objects.filter(run=run).count() == 9  # each once


@pytest.mark.django_db(transaction=True)
def test_a_run_that_died_between_the_stores_mends_the_online_one(size: list[str], settings: Any) -> None:
    url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    with connection.cursor() as cursor:
        # Its worker cannot even note that Redis lacks the values.
        cursor.execute("ALTER TABLE features_onlinerepair ADD CONSTRAINT refused CHECK (entity <> 'Egg')")
        try:
            with pytest.raises(IntegrityError):
                materialize_slot("size")
        finally:
            cursor.execute("ALTER TABLE features_onlinerepair DROP CONSTRAINT refused")
    settings.REDIS_URL = url
    assert FeatureValue.objects.count() == 9
    assert async_to_sync(online_store.read)("Egg", "e00", ["size"]) == {}
    materialize_run(run_of().pk)
    assert async_to_sync(online_store.read)("Egg", "e00", ["size"])["size"].value == 1
    assert FeatureValue.objects.count() == 9


def test_a_run_of_a_living_worker_is_left_alone_until_it_dies(size: list[str]) -> None:
    run = MaterializationRun.objects.create(feature="size")
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended('materialize:size', 0))")
        materialize_run(run.pk)
        assert run_of().state == "queued"
        MaterializationRun.objects.update(heartbeat_at=timezone.now() - 2 * ORPHANED_AFTER)
        upkeep()
        assert messages() == []
    finally:
        other.close()
    wait_until(lambda: upkeep() or messages())
    assert {(message.task, message.args[0]) for message in messages()} == {(MATERIALIZE_RUN, run.pk)}
    materialize_run(run.pk)
    assert run_of().state == "done"


def test_a_worker_whose_run_was_taken_over_writes_nothing_more(
    size: list[str], while_computing: dict[str, Callable[[], object]]
) -> None:
    while_computing["e09"] = lambda: MaterializationRun.objects.update(claims=7)
    materialize_slot("size")
    assert (run_of().state, run_of().worked) == ("running", 0)
    assert not FeatureValue.objects.exists()


def test_a_stopped_run_stops_and_can_be_resumed(
    size: list[str], while_computing: dict[str, Callable[[], object]], settings: Any
) -> None:
    settings.FABRA_MATERIALIZE_CHUNK = 4
    while_computing["e05"] = lambda: MaterializationRun.objects.all().stop()  # in the second chunk
    materialize_slot("size")
    while_computing.clear()
    assert (run_of().state, run_of().worked) == ("stopped", 4)
    assert MaterializationRun.objects.all().resume() == 1
    materialize_run(run_of().pk)
    assert (run_of().state, run_of().worked) == ("done", 10)
    assert FeatureValue.objects.count() == FeatureValue.objects.distinct("entity_key").count() == 9


def test_a_slot_waits_for_none_that_is_behind(size: list[str]) -> None:
    MaterializationRun.objects.create(feature="size", slot=timezone.now() - timedelta(hours=1))
    materialize_slot("size")
    assert MaterializationRun.objects.count() == 1


def test_junk_is_not_materialised_for_ever(size: list[str]) -> None:
    KnownEntity.objects.filter(entity_key__lt="e08").update(last_seen_at=timezone.now() - timedelta(days=31))
    assert async_to_sync(store.materialize)("size").total == 2
    assert async_to_sync(store.materialize)("size").total == 2
    assert KnownEntity.objects.filter(last_seen_at__lt=timezone.now() - timedelta(days=30)).count() == 8


def test_the_beat_entry_follows_the_definition_and_the_reverse(size: list[str]) -> None:
    entry = PeriodicTask.objects.get(name="materialise size")
    assert (entry.interval.every, json.loads(entry.args), entry.enabled) == (600, ["size"], True)
    row = FeatureDefinition.objects.get(name="size")
    row.refresh_override = timedelta(minutes=2)
    row.save()
    entry.refresh_from_db()
    assert entry.interval.every == 120
    entry.interval = IntervalSchedule.objects.create(every=1, period="hours")
    entry.enabled = False
    entry.save()
    row.refresh_from_db()
    assert (row.refresh_override, row.is_scheduled) == (timedelta(hours=1), False)
    sync_features()  # a deploy changes neither
    row.refresh_from_db()
    entry.refresh_from_db()
    assert (row.refresh, row.is_scheduled, entry.enabled) == (timedelta(hours=1), False, False)


def test_a_definition_whose_code_is_gone_is_marked(size: list[str]) -> None:
    from features import registry

    del registry.features["size"]
    sync_features()
    row = FeatureDefinition.objects.get(name="size")
    assert row.gone_at is not None
    assert not PeriodicTask.objects.get(name="materialise size").enabled
    materialize_slot("size")
    assert not MaterializationRun.objects.exists()
