"""A Redis that is full: chats are answered, limits counted, events kept, and no older value is read than the newest."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from kombu import pools

from chat.definitions import store
from common.redis import plain_redis, redis_key
from common.redis_memory import check_redis
from events import tasks
from events.bus import RedisEventBus
from events.errors import EventBusUnavailable
from events.event import AxiomEvent
from events.models import Event
from fabra_project.beat import SteadyScheduler
from fabra_project.celery import app
from fabra_project.stack.valkey import Valkey
from features.errors import OnlineStoreUnavailable
from features.models import OnlineRepair
from features.online_repair import repair_online
from tests.broker import messages
from tests.processes import wait_until
from tests.servers import OwnServer

FILLER = "filler"


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with OwnServer(Valkey, tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture
def server(own_redis: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Use a Redis of one's own, for Celery too; yield its client."""
    from channels.layers import channel_layers

    def forget_connections() -> None:
        plain_redis.cache_clear()
        channel_layers.backends.clear()
        pools.reset()
        app._pool = app.amqp._producer_pool = None

    forget_connections()
    settings.REDIS_URL = own_redis
    with monkeypatch.context() as patch, redis.Redis.from_url(own_redis, decode_responses=True) as client:
        for name in ("broker_url", "broker_write_url"):
            patch.setitem(app.conf, name, own_redis)
        yield client
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "volatile-lru")
        client.flushall()
    forget_connections()


@pytest.fixture
def fill(server: Any) -> Callable[[], None]:
    """Return a function that fills it up with what has no time to live."""

    def fill() -> None:
        server.set(FILLER, "x" * 3_000_000)
        server.config_set("maxmemory", 2_000_000)

    return fill


def empty(server: Any) -> None:
    server.config_set("maxmemory", 0)
    server.delete(FILLER)


def test_what_has_a_time_to_live_goes_first_and_queues_stay(server: Any) -> None:
    assert server.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
    assert int(server.config_get("maxmemory")["maxmemory"]) == 0 or server.info("memory")["maxmemory"] > 2**27
    app.send_task("events.tasks.sweep")
    server.config_set("maxmemory", server.info("memory")["used_memory"] + 1_000_000)
    for number in range(100):
        server.set(f"copy:{number}", "x" * 50_000, ex=86_400)
    assert 0 < len(server.keys("copy:*")) < 100
    assert [message.task for message in messages()] == ["events.tasks.sweep"]


def test_a_chat_is_answered_and_postgresql_counts_its_limit(
    bot: None, ask: Any, settings: Any, fill: Callable[[], None]
) -> None:
    settings.FABRA_RATE_LIMITS = {"premium": 2}
    fill()
    for remaining in ("1", "0"):
        answer = ask()
        assert answer.status_code == 200
        assert "rate_limit_degraded" in answer.json()["flags"]
        assert answer.json()["citations"]
        assert answer.headers["X-RateLimit-Remaining"] == remaining
    refused = ask()
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")


@pytest.mark.django_db(transaction=True)
def test_events_are_kept_and_processed_once_there_is_room(
    client: Client, settings: Any, server: Any, fill: Callable[[], None]
) -> None:
    settings.DEBUG = True
    fill()
    body = {"event_type": "message_sent", "entity_id": "user_123", "payload": {}}
    answer = client.post("/api/events/", body, content_type="application/json")
    assert answer.status_code == 202
    assert Event.objects.get().state == Event.State.RECEIVED
    assert messages() == []
    with pytest.raises(EventBusUnavailable):
        async_to_sync(RedisEventBus().publish)(AxiomEvent(event_type="message_sent", entity_id="user_123", payload={}))
    empty(server)
    Event.objects.update(dispatched_at=F("dispatched_at") - (timezone.now() - timezone.now().replace(year=2020)))
    tasks.sweep()
    (message,) = messages()
    tasks.process_event(*message.args)
    assert Event.objects.get().finished_at is not None


@pytest.mark.django_db(transaction=True)
def test_each_task_that_beat_cannot_send_is_one_line_of_its_log(
    fill: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    PeriodicTask.objects.all().delete()
    schedule, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(name="sweep of events", task="events.tasks.sweep", interval=schedule)
    fill()
    beat = SteadyScheduler(app=app, lazy=True)
    wait_until(lambda: beat.tick() and caplog.messages)
    assert all("Couldn't apply scheduled task sweep of events: " in message for message in caplog.messages)
    assert not any(record.exc_info or "\n" in record.getMessage() for record in caplog.records)


@pytest.mark.django_db(transaction=True)
def test_a_value_that_it_does_not_take_is_read_from_postgresql(server: Any, fill: Callable[[], None]) -> None:
    """With `noeviction`, the former value would still be there."""
    server.config_set("maxmemory-policy", "noeviction")
    set_feature, get_feature = async_to_sync(store.set_feature), async_to_sync(store.get_feature)
    set_feature("message_count", "user_123", 7)
    set_feature("user_tier", "user_123", "free")
    fill()
    set_feature("message_count", "user_123", 8)
    assert get_feature("message_count", "user_123") == 8
    assert get_feature("user_tier", "user_123") == "free"
    assert server.hkeys(redis_key("values", "User", "user_123")) == ["user_tier"]
    assert OnlineRepair.objects.count() == 1
    assert async_to_sync(repair_online)() == 0
    empty(server)
    assert async_to_sync(repair_online)() == 1
    assert "message_count" in server.hkeys(redis_key("values", "User", "user_123"))


@pytest.mark.django_db
def test_a_text_that_it_does_not_take_leaves_no_former_one(server: Any, fill: Callable[[], None]) -> None:
    server.config_set("maxmemory-policy", "noeviction")
    async_to_sync(store.online_store.set)("trace:1", "former")
    fill()
    with pytest.raises(OnlineStoreUnavailable):
        async_to_sync(store.online_store.set)("trace:1", "new")
    assert async_to_sync(store.online_store.get)("trace:1") is None


def test_it_is_told_before_it_is_full_and_if_queues_would_go(
    db: Any, admin_client: Client, server: Any, settings: Any
) -> None:
    def ready() -> str:
        answer = admin_client.get("/readyz")
        assert answer.status_code in (200, 503)
        return str(answer.json()["redis"])

    def found() -> list[str | None]:
        return [message.id for message in check_redis(databases=["default"])]

    server.config_set("maxmemory", 2**30)
    assert (ready(), found(), check_redis()) == ("ok", [], [])
    server.config_set("maxmemory", int(server.info("memory")["used_memory"] * 1.05))
    assert (ready(), found()) == ("nearly full", ["common.W001"])
    assert "Redis is nearly full" in admin_client.get(reverse("common:storage")).content.decode()
    server.config_set("maxmemory", 0)
    server.mset({f"copy:{number}": "x" for number in range(1100)})
    for number in range(1100):
        server.expire(f"copy:{number}", 60)
    server.config_set("maxmemory", int(server.info("memory")["used_memory"] * 1.05))
    assert (ready(), found()) == ("ok", []), "what may be evicted fills it up in any case"
    server.config_set("maxmemory", 2**30)
    server.config_set("maxmemory-policy", "allkeys-lru")
    assert (ready(), found()) == ("evicts queues", ["common.W001"])
    assert "would drop queued tasks" in admin_client.get(reverse("common:storage")).content.decode()
    server.config_set("maxmemory", 0)
    assert found() == ["common.W002"]


def test_the_check_is_quiet_where_redis_does_not_answer(db: Any, redis_down: None) -> None:
    assert check_redis(databases=["default"]) == []
    call_command("check", databases=["default"])
