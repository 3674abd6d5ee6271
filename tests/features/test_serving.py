"""Values are served online, then offline, then computed; each says where it came from."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from common.errors import InvalidInput, NotFound
from contexts.store import FeatureStore
from features import registry
from features.declaration import entity, feature
from features.errors import FeatureComputeError
from features.freshness import Freshness, FreshnessLimits, freshness
from features.models import FeatureDefinition, FeatureValue, KnownEntity, OnlineRepair
from features.online_repair import _delete, repair_online
from features.serving import online_store, operator_settings, read_features
from features.value_writer import write_values
from features.values import FeatureRead

pytestmark = pytest.mark.django_db

store = FeatureStore()


@pytest.fixture
def Robot() -> type:  # noqa: N802
    @entity(store)
    class Robot:
        robot_id: str

    return Robot


@pytest.fixture
def speed(Robot: type) -> Callable[..., Any]:  # noqa: N803
    calls: list[str] = []

    @feature(entity=Robot, refresh="1h", stale_tolerance="1h", ttl="4h")
    async def speed(robot_id: str) -> Any:
        calls.append(robot_id)
        await asyncio.sleep(0.01)
        return len(calls)

    speed.calls = calls
    return speed


def read(key: str, *names: str) -> list[FeatureRead]:
    return async_to_sync(read_features)("Robot", key, names)


def set_at_age(name: str, value: Any, **age: int) -> None:
    moment = datetime.now(UTC) - timedelta(**age)
    async_to_sync(store.set_feature)(name, "r1", value, moment)


def test_a_miss_computes_once_and_writes_both_stores(speed: Any) -> None:
    first, second = read("r1", "speed"), read("r1", "speed")
    assert [(value.value, value.status, value.source) for value in first + second] == [
        (1, "fresh", "computed"),
        (1, "fresh", "online"),
    ]
    assert FeatureValue.objects.get().value == 1
    assert second[0].value_id == FeatureValue.objects.get().pk
    assert KnownEntity.objects.get().entity_key == "r1"


def test_however_many_ask_at_once_it_computes_once(speed: Any) -> None:
    async def ask() -> list[Any]:
        return await asyncio.gather(*(store.get_feature("speed", "r1") for _ in range(50)))

    assert async_to_sync(ask)() == [1] * 50
    assert speed.calls == ["r1"]


def test_any_number_of_features_is_one_round_trip(
    Robot: type,  # noqa: N803 (an entity's name)
    speed: Any,
    django_assert_num_queries: Any,
    monkeypatch: Any,
) -> None:
    for name in "abcdefgh":
        feature(entity=Robot, name=name)(lambda robot_id: 1)
    names = ["speed", *"abcdefgh"]
    read("r1", *names)
    commands: list[Any] = []

    async def count() -> dict[str, Any]:
        import redis.asyncio.connection as connection

        original = connection.Connection.send_packed_command

        async def counted(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
            commands.append(command)
            return await original(self, command, *args, **kwargs)

        await store.get_online_features("Robot", "r1", names)  # connects
        monkeypatch.setattr(connection.Connection, "send_packed_command", counted)
        return await store.get_online_features("Robot", "r1", names)

    with django_assert_num_queries(0):
        values = async_to_sync(count)()
    assert values == {"speed": 1, **dict.fromkeys("abcdefgh", 1)}
    assert len(commands) == 1


@pytest.mark.parametrize(
    ("age", "status", "value"),
    [
        ({"minutes": 59}, "fresh", "old"),
        ({"minutes": 90}, "stale", "old"),
        ({"hours": 3}, "fresh", 1),
        ({"hours": 5}, "fresh", 1),
    ],
)
def test_age_decides_between_serving_and_computing(speed: Any, age: Any, status: str, value: Any) -> None:
    set_at_age("speed", "old", **age)
    served = read("r1", "speed")[0]
    assert (served.status, served.value) == (status, value)


def test_a_stale_value_is_recomputed_behind(speed: Any) -> None:
    set_at_age("speed", "old", minutes=90)

    async def ask_twice() -> list[Any]:
        first = await store.get_feature("speed", "r1")
        for _ in range(6000):
            await asyncio.sleep(0.01)
            if (value := await store.get_feature("speed", "r1")) != first:
                break
        return [first, value]

    assert async_to_sync(ask_twice)() == ["old", 1]


def test_limits_include_their_last_instant() -> None:
    limits = FreshnessLimits(
        refresh=timedelta(seconds=10), stale_tolerance=timedelta(seconds=5), ttl=timedelta(seconds=60)
    )
    now = datetime(2026, 1, 1, tzinfo=UTC)
    expected = {10: "fresh", 11: "stale", 15: "stale", 16: "overdue", 60: "overdue", 61: "expired"}
    for seconds, state in expected.items():
        assert freshness(now - timedelta(seconds=seconds), limits, now) is Freshness(state), seconds


def test_an_older_value_never_replaces_a_newer_one_online(speed: Any) -> None:
    set_at_age("speed", "new", minutes=1)
    set_at_age("speed", "late", minutes=30)
    assert read("r1", "speed")[0].value == "new"
    assert FeatureValue.objects.count() == 2


def test_an_emptied_redis_is_filled_from_postgresql(speed: Any) -> None:
    set_at_age("speed", "kept", minutes=1)

    async def forget() -> None:
        from common.redis import async_redis, redis_key

        await (await async_redis()).delete(redis_key("values", "Robot", "r1"))

    async_to_sync(forget)()
    assert [read("r1", "speed")[0].source for _ in range(2)] == ["offline", "online"]
    assert speed.calls == []


def test_with_redis_down_values_come_from_postgresql_and_say_so(speed: Any, redis_down: None, settings: Any) -> None:
    computed, offline = read("r1", "speed")[0], read("r1", "speed")[0]
    assert (computed.value, computed.source, computed.is_degraded) == (1, "computed", True)
    assert (offline.value, offline.source, offline.is_degraded) == (1, "offline", True)
    assert OnlineRepair.objects.count() == 1


def test_what_redis_missed_is_mended_when_it_is_back(speed: Any, settings: Any) -> None:
    set_at_age("speed", "before", minutes=30)
    url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    set_at_age("speed", "during", minutes=1)
    settings.REDIS_URL = url
    assert async_to_sync(repair_online)() == 1
    assert read("r1", "speed")[0].value == "during"
    assert not OnlineRepair.objects.exists()


def test_many_values_that_redis_missed_are_mended_at_once_and_none_that_came_meanwhile_is_lost(
    speed: Any, settings: Any, django_assert_max_num_queries: Any
) -> None:
    url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    spec, now = registry.features["speed"], datetime.now(UTC)
    values = {f"r{number}": number for number in range(1200)}
    for source in ("set", "event"):
        async_to_sync(write_values)(spec, values, event_timestamp=now, source=source)
    settings.REDIS_URL = url
    with django_assert_max_num_queries(16):
        assert async_to_sync(repair_online)() == 1200
    assert [value.value for value in read("r0", "speed") + read("r1199", "speed")] == [0, 1199]
    repair = OnlineRepair(entity="Robot", entity_key="r0", feature="speed")
    for _ in range(2):
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        set_at_age("speed", "later", minutes=0)
        repair = repair if repair.pk else OnlineRepair.objects.get()
    async_to_sync(_delete)([repair])  # by whoever read it before the second value came
    assert OnlineRepair.objects.exists()


def test_a_failing_function_is_an_error_unless_something_stands_in(Robot: type) -> None:  # noqa: N803
    @feature(entity=Robot, refresh="1h", ttl="1d")
    def broken(robot_id: str) -> Any:
        raise RuntimeError("secret detail")

    @feature(entity=Robot, default_value=7)
    def mended(robot_id: str) -> Any:
        raise RuntimeError

    with pytest.raises(FeatureComputeError, match="'broken' failed with RuntimeError") as raised:
        read("r1", "broken")
    assert "secret" not in str(raised.value)
    default = read("r1", "mended")[0]
    assert (default.value, default.source, default.error) == (7, "default", "RuntimeError")
    set_at_age("broken", "old", hours=3)
    older = read("r1", "broken")[0]
    assert (older.value, older.status, older.error) == ("old", "stale", "RuntimeError")


def test_a_triggered_feature_is_never_computed_on_a_miss(Robot: type) -> None:  # noqa: N803
    @feature(entity=Robot, trigger="moved", default_value=0)
    def moves(robot_id: str, event: Any) -> int:
        raise AssertionError

    assert (read("r1", "moves")[0].value, read("r1", "moves")[0].status) == (0, "missing")


def test_an_operator_can_switch_a_feature_off_and_change_its_refresh(speed: Any) -> None:
    row = FeatureDefinition.objects.create(name="speed", entity="Robot", location="here", refresh_override="00:00:10")
    set_at_age("speed", "old", minutes=59)
    assert read("r1", "speed")[0].status == "stale"
    row.is_enabled = False
    row.save()
    operator_settings.clear()
    assert read("r1", "speed")[0].status == "disabled"


def test_bad_requests_are_told_apart(Robot: type, speed: Any) -> None:  # noqa: N803
    with pytest.raises(NotFound, match="no feature 'nothing'"):
        read("r1", "nothing")
    with pytest.raises(NotFound, match="no entity"):
        async_to_sync(read_features)("Nobody", "r1", ["speed"])
    with pytest.raises(InvalidInput, match="belongs to the entity"):
        async_to_sync(read_features)("User", "r1", ["speed"])
    for key in ["", " ", "a\x00b", "\ud800", "x" * 256, 5]:
        with pytest.raises(InvalidInput):
            async_to_sync(read_features)("Robot", key, ["speed"])


def test_the_store_works_under_repeated_event_loops(speed: Any) -> None:
    for _ in range(3):
        assert async_to_sync(store.get_feature)("speed", "r1") == 1
        assert async_to_sync(online_store.get)("nothing") is None


def test_a_triggered_feature_is_stale_past_its_refresh_and_gone_past_its_ttl(Robot: type) -> None:  # noqa: N803
    @feature(entity=Robot, trigger="moved", refresh="1h", ttl="1d", default_value=0)
    def moves(robot_id: str, event: Any) -> int:
        raise AssertionError

    for key, hours, expected in [("r1", 0.5, (7, "fresh")), ("r2", 9, (7, "stale")), ("r3", 25, (0, "expired"))]:
        async_to_sync(store.set_feature)("moves", key, 7, datetime.now(UTC) - timedelta(hours=hours))
        assert (read(key, "moves")[0].value, read(key, "moves")[0].status) == expected
