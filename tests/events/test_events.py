"""Events: into the outbox once, through their handlers, retried, and dead where nothing helps."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from common.errors import InvalidInput
from common.locks import held
from common.redis import plain_redis
from events import bus, processing
from events.bus import RedisEventBus
from events.dead_letters import requeue
from events.errors import EventBusUnavailable, EventConflict, EventTooLarge
from events.event import AxiomEvent
from events.models import Event, HandlerOutcome
from events.outbox import record_event
from events.stream_groups import check_groups
from features.declaration import entity, feature
from features.models import FeatureValue, KnownEntity
from tests.processes import wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture
def handled() -> list[str]:
    """Declare two features on the event `poked`; the second fails as often as the payload says."""
    calls: list[str] = []

    @entity()
    class Bear:
        bear_id: str

    @feature(entity=Bear, trigger="poked")
    def mood(bear_id: str, event: AxiomEvent) -> str:
        calls.append("mood")
        return event.payload.get("mood", "calm")

    @feature(entity=Bear, trigger="poked")
    async def anger(bear_id: str, event: AxiomEvent) -> int:
        calls.append("anger")
        if calls.count("anger") <= event.payload.get("failures", 0):
            raise RuntimeError("not now")
        return 1

    return calls


def record(**fields: Any) -> Event:
    return record_event(AxiomEvent(**{"event_type": "poked", "entity_id": "b1", **fields}), Event.Source.API)[0]


def process(row: Event) -> Event:
    Event.objects.filter(pk=row.pk).update(next_attempt_at=datetime.now(UTC) - timedelta(seconds=1))
    processing.process(row.pk)
    row.refresh_from_db()
    return row


def test_an_event_runs_the_features_it_triggers(handled: list[str]) -> None:
    moment = datetime.now(UTC) - timedelta(minutes=3)
    row = process(record(payload={"mood": "grumpy"}, occurred_at=moment))
    assert row.state == "done"
    value = FeatureValue.objects.get(feature="mood")
    assert (value.value, value.event_timestamp, value.event, value.source) == ("grumpy", moment, row, "event")
    assert KnownEntity.objects.get().entity_key == "b1"
    process(row)
    assert sorted(handled) == ["anger", "mood"]  # an event that is done is not done again


def test_a_failure_is_retried_without_rerunning_what_succeeded(handled: list[str]) -> None:
    row = process(record(payload={"failures": 2}))
    assert row.state == "retrying"
    assert row.next_attempt_at > datetime.now(UTC)
    row = process(process(row))
    assert (row.state, row.attempts, sorted(handled)) == ("done", 3, ["anger", "anger", "anger", "mood"])


def test_after_the_limit_it_is_dead_and_can_be_requeued(handled: list[str], settings: Any) -> None:
    settings.FABRA_EVENT_MAX_ATTEMPTS = 2
    row = process(process(record(payload={"failures": 2})))
    assert row.state == "dead"
    assert "RuntimeError: not now" in row.error
    assert HandlerOutcome.objects.get(handler="feature:anger").attempts == 2
    assert requeue(Event.objects.filter(pk=row.pk)) == 1
    row = process(row)
    assert (row.state, handled.count("mood")) == ("done", 1)


def test_an_event_done_again_writes_its_value_once(handled: list[str]) -> None:
    row = process(record())
    HandlerOutcome.objects.all().delete()  # as if the worker had died before it could note them
    Event.objects.update(state="received")
    row = process(row)
    assert row.state == "done"
    assert FeatureValue.objects.filter(feature="mood").count() == 1
    assert sorted(handled) == ["anger", "mood"]


def test_a_late_event_takes_no_newer_value_back(handled: list[str]) -> None:
    now = datetime.now(UTC)
    process(record(payload={"mood": "new"}, occurred_at=now))
    process(record(payload={"mood": "late"}, occurred_at=now - timedelta(hours=1)))
    from contexts.store import FeatureStore

    assert async_to_sync(FeatureStore().get_feature)("mood", "b1") == "new"
    assert FeatureValue.objects.filter(feature="mood").count() == 2


def test_the_same_id_twice_is_one_event(handled: list[str]) -> None:
    first, second = record(id="e1"), record(id="e1")
    assert first == second
    with pytest.raises(EventConflict):
        record(id="e1", payload={"mood": "other"})


def test_a_rolled_back_save_publishes_nothing(handled: list[str]) -> None:
    with transaction.atomic():
        record()
        transaction.set_rollback(True)
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"event_type": ""}, InvalidInput),
        ({"entity_id": "a\x00"}, InvalidInput),
        ({"payload": []}, InvalidInput),
        ({"payload": {"a": float("nan")}}, InvalidInput),
        ({"payload": {"a": "\ud800"}}, InvalidInput),
        ({"payload": {"a": ["\x00"]}}, InvalidInput),
        ({"payload": {"a": "x" * 2_600_000}}, EventTooLarge),
        ({"occurred_at": datetime(2026, 1, 1)}, InvalidInput),  # noqa: DTZ001
        ({"occurred_at": datetime.now(UTC) + timedelta(hours=1)}, InvalidInput),
        ({"occurred_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}, InvalidInput),
    ],
)
def test_what_cannot_be_stored_is_refused(fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        record(**fields)
    assert not Event.objects.exists()


def test_the_outbox_takes_events_while_the_broker_is_down(
    handled: list[str], broker_down: None, django_capture_on_commit_callbacks: Any, caplog: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        row = record()
    assert "waits for the sweep" in caplog.text
    assert row.state == "received"
    assert not Event.objects.forgotten().exists()
    Event.objects.update(dispatched_at=datetime.now(UTC) - timedelta(minutes=5))
    assert list(Event.objects.forgotten()) == [row]


def test_what_a_dead_worker_was_at_is_done_again_and_what_a_living_one_is_at_is_not(
    handled: list[str], transactional_db: Any
) -> None:
    row = record()
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    Event.objects.update(state="running", attempts=1, started_at=long_ago)
    row.refresh_from_db()
    with ThreadPoolExecutor(1) as living_worker:

        def hold() -> Any:
            lock = held(f"event:{row.pk}")
            assert lock.__enter__()
            return lock

        def let_go(lock: Any) -> None:
            connection.close()  # as a killed process does

        lock = living_worker.submit(hold).result()
        assert Event.objects.release_abandoned() == []
        living_worker.submit(let_go, lock).result()
    wait_until(lambda: Event.objects.release_abandoned() == [row])
    assert process(row).state == "done"


class TestBus:
    def consume(self) -> None:
        """Move what is in the stream into the outbox, then stop."""
        turns = iter([False, True])
        bus.consume("test", lambda: next(turns), block_ms=10)

    def publish(self, **fields: Any) -> Any:
        return async_to_sync(RedisEventBus().publish)(
            AxiomEvent(**{"event_type": "poked", "entity_id": "b1", "payload": {"a": 1}, **fields})
        )

    @pytest.mark.django_db(transaction=True)
    def test_a_published_event_reaches_the_outbox_once(self) -> None:
        self.publish(id="e1")
        self.publish(id="e1")
        self.consume()
        row = Event.objects.get()
        assert (row.event_id, row.payload, row.source) == ("e1", {"a": 1}, "stream")
        assert row.published_at is not None
        assert plain_redis().xpending(bus.stream_key(), bus.GROUP)["pending"] == 0

    @pytest.mark.django_db(transaction=True)
    def test_any_language_can_write_to_the_stream(self) -> None:
        plain_redis().xadd(bus.stream_key(), {"event_type": "poked", "entity_id": "b1", "payload": '{"x": "y"}'})
        self.consume()
        assert Event.objects.get().payload == {"x": "y"}

    @pytest.mark.django_db(transaction=True)
    def test_a_poisoned_entry_is_buried_and_blocks_nothing(self) -> None:
        for fields in [
            {"nonsense": b"\xff\xfe"},
            {"event_type": "poked", "entity_id": "b1", "payload": "{"},
            {"event_type": "poked", "entity_id": "b1", "payload": '{"audience": ["staff"], "audience": []}'},
            {"event_type": "x", "entity_id": "y\x00"},
            {"event_type": "x", "entity_id": "y", "occurred_at": "0001-01-01T00:00:00+14:00"},
        ]:
            plain_redis().xadd(bus.stream_key(), fields)
        self.publish(id="good")
        self.publish(id="good", payload={"another": "body"})
        self.consume()
        assert Event.objects.filter(state="dead").count() == 6
        assert Event.objects.get(event_id="good").state == "received"

    @pytest.mark.django_db(transaction=True)
    def test_an_entry_with_an_id_of_another_age_is_of_now_and_blocks_nothing(self) -> None:
        plain_redis().xadd(bus.stream_key(), {"event_type": "poked", "entity_id": "b1"}, id=f"{10**16}-0")
        self.publish(id="behind it")
        self.consume()
        assert list(Event.objects.order_by("id").values_list("state", flat=True)) == ["received"] * 2
        assert all(event.occurred_at <= datetime.now(UTC) for event in Event.objects.all())

    @pytest.mark.django_db(transaction=True)
    def test_what_a_dead_consumer_took_is_taken_over(self, settings: Any) -> None:
        self.publish(id="e1")
        client = plain_redis()
        client.xgroup_create(bus.stream_key(), bus.GROUP, id="0")
        client.xreadgroup(bus.GROUP, "dead", {bus.stream_key(): ">"})
        settings.FABRA_STREAM_IDLE_MS = 0
        self.consume()
        assert Event.objects.get().event_id == "e1"

    @pytest.mark.django_db(transaction=True)
    def test_only_what_every_group_acknowledged_is_trimmed(self) -> None:
        client = plain_redis()
        ids = [self.publish(id=f"e{number}") for number in range(5)]
        assert bus.trim_stream(client) == 0  # nobody has read it yet
        client.xgroup_create(bus.stream_key(), bus.GROUP, id="0")
        client.xgroup_create(bus.stream_key(), "another", id="0")
        client.xreadgroup(bus.GROUP, "one", {bus.stream_key(): ">"}, count=4)
        client.xreadgroup("another", "one", {bus.stream_key(): ">"}, noack=True)
        client.xack(bus.stream_key(), bus.GROUP, ids[0], ids[2])
        assert bus.trim_stream(client) == 1  # ids[1] waits for its acknowledgement
        client.xack(bus.stream_key(), bus.GROUP, ids[1], ids[3])
        assert bus.trim_stream(client) == 3
        assert [entry for entry, _ in client.xrange(bus.stream_key())] == ids[4:]
        self.consume()
        assert Event.objects.get().event_id == "e4"
        assert bus.trim_stream(client) == 1

    def test_a_group_that_reads_no_more_is_told(self, admin_client: Any) -> None:
        client, day_ms = plain_redis(), 86_400_000
        assert check_groups(databases=["default"]) == []
        ids = [f"{int(time.time() * 1000) - 2 * day_ms}-{number}" for number in range(3)]
        for entry_id in ids:
            client.xadd(bus.stream_key(), {"event_type": "x", "entity_id": "a"}, id=entry_id)
        client.xgroup_create(bus.stream_key(), bus.GROUP, id="0")
        client.xgroup_create(bus.stream_key(), "former", id=ids[0])
        client.xreadgroup(bus.GROUP, "one", {bus.stream_key(): ">"}, noack=True)
        [warning] = check_groups(databases=["default"])
        assert (warning.id, "'former'" in warning.msg, "XGROUP DESTROY" in str(warning.hint)) == (
            "events.W001",
            True,
            True,
        )
        assert (
            "&#x27;former&#x27; has not read" in admin_client.get(reverse("admin:events_event_flow")).content.decode()
        )
        client.xgroup_destroy(bus.stream_key(), "former")
        assert check_groups(databases=["default"]) == check_groups() == []

    @pytest.mark.django_db(transaction=True)
    def test_inside_a_transaction_it_waits_for_the_commit(self) -> None:
        with transaction.atomic():
            assert self.publish() is None
            assert plain_redis().xlen(bus.stream_key()) == 0
        assert plain_redis().xlen(bus.stream_key()) == 1
        with transaction.atomic():
            self.publish()
            transaction.set_rollback(True)
        assert plain_redis().xlen(bus.stream_key()) == 1

    @pytest.mark.django_db(transaction=True)
    def test_it_raises_when_redis_is_down(self, redis_down: None) -> None:
        with pytest.raises(EventBusUnavailable):
            self.publish()
        with pytest.raises(EventBusUnavailable), transaction.atomic():
            self.publish()


def test_an_event_without_a_state_is_not_compared_with_those_that_wait(handled: list[str]) -> None:
    first, *_ = [record() for _ in range(3)]
    with CaptureQueriesContext(connection) as queries:
        assert Event.objects.next_of_state(first.pk) == first.pk
    [query] = queries.captured_queries
    assert "payload" not in query["sql"]
