"""What Django code returns is served the same on every read, in the declared type, or refused by name."""

import asyncio
import dataclasses
import enum
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypedDict
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from pydantic import BaseModel

from common.errors import DefinitionError
from common.redis import plain_redis, redis_key
from contexts.declaration import context
from contexts.items import ContextItem
from contexts.models import Trace
from contexts.store import FeatureStore
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from events.processing import process
from features.checks import check_annotations
from features.declaration import entity, feature
from features.errors import FeatureValueRefused
from features.models import FeatureDefinition, FeatureValue
from features.registry import features
from features.serving import read_features
from features.sync_definitions import sync_features
from features.value_types import InvalidFeatureValue, type_of
from tests.features import typed_definitions

pytestmark = pytest.mark.django_db

store = FeatureStore()


class Tier(enum.Enum):
    FREE = "free"
    PAID = "paid"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Basket:
    total: Decimal
    at: datetime


@dataclasses.dataclass
class Tagged:
    tags: frozenset[str]


@dataclasses.dataclass
class Noted:
    tags: frozenset[str] = dataclasses.field(compare=False)


class Open(BaseModel, extra="allow"):
    name: str


class Point(NamedTuple):
    x: int
    day: date


class Shape(TypedDict):
    size: int


@pytest.fixture
def Shopper() -> type:  # noqa: N802
    @entity(store)
    class Shopper:
        shopper_id: str

    return Shopper


def declare(value: Any, annotation: Any = None, name: str = "value", **options: Any) -> None:
    def function(shopper_id: str) -> Any:
        return value

    function.__name__ = name
    if annotation is not None:
        function.__annotations__["return"] = annotation
    else:
        del function.__annotations__["return"]
    feature(entity="Shopper", **options)(function)


def get(name: str = "value") -> Any:
    return async_to_sync(store.get_feature)(name, "s1")


def every_read(name: str = "value") -> list[Any]:
    """Read the value as it is computed, then from Redis, PostgreSQL, both for many keys, and from the history."""

    async def read() -> list[Any]:
        followers = await asyncio.gather(*(store.get_feature(name, "s1") for _ in range(3)))
        online = await store.get_feature(name, "s1")
        many = await store.get_online_features("Shopper", ["s1"], [name])
        return [*followers, online, many["s1"][name]]

    found = async_to_sync(read)()
    plain_redis().delete(redis_key("values", "Shopper", "s1"))
    found += [get(name), get(name)]  # from PostgreSQL, which fills Redis
    row = {"shopper_id": "s1", "event_timestamp": datetime.now(UTC)}
    found.append(async_to_sync(store.get_historical_features)([row], [name])[0][name])
    return found


def is_equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and repr(one) == repr(other)


BERLIN = datetime(2026, 3, 29, 1, 30, tzinfo=ZoneInfo("Europe/Berlin"))
MOMENT = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=UTC)

TYPED = [
    (Decimal, Decimal("12.50")),
    (Decimal, Decimal("1E+400")),
    (Decimal | None, Decimal(0)),
    (Decimal | None, None),
    (datetime, MOMENT),
    (datetime, BERLIN),
    (datetime, MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30)))),
    (date, date(2026, 3, 29)),
    (date, date(1, 1, 1)),
    (time, time(1, 2, 3, 4)),
    (timedelta, timedelta(days=-1, microseconds=3)),
    (timedelta, timedelta(days=40_000)),
    (uuid.UUID, uuid.UUID(int=7)),
    (Tier, Tier.PAID),
    (Level, Level.LOW),
    (set[str], {"b", "a"}),
    (set, {"b", 1}),
    (frozenset[int], frozenset({1, 2})),
    (tuple[int, Decimal], (1, Decimal("2.50"))),
    (tuple[date, ...], (date(2026, 1, 1),)),
    (tuple, (1, 2)),
    (list[date], [date(2026, 1, 1), date(2026, 1, 2)]),
    (dict[str, Decimal], {"a": Decimal("1.10")}),
    (dict[int, str], {1: "a"}),
    (dict[date, list[uuid.UUID]], {date(2026, 1, 1): [uuid.UUID(int=1)]}),
    (dict[str, tuple[Decimal, date] | None], {"a": (Decimal(1), date(2026, 1, 1)), "b": None}),
    (Basket, Basket(Decimal("1.50"), MOMENT)),
    (list[Basket], [Basket(Decimal("1.50"), MOMENT)]),
    (Point, Point(1, date(2026, 1, 1))),
    (float, 1e300),
    (float, 1e16),
    (float, 3.0),
    (float, 0.1),
    (float, 5e-324),
    (list[float], [1e300, 1.0, 2.5]),
    (int, 2**70),
    (str, "😀 Grüße \u2028"),
    (bool, True),
    (dict[str, Any], {"a": [1, None, {"b": "c"}]}),
    (Literal["a", "b"], "a"),
    (Decimal | Literal["none"], Decimal("1.5")),
    (np.float32, np.float32(0.1)),
    (np.int64, np.int64(3)),
    (np.bool_, np.bool_(True)),
    (np.ndarray, np.array([[1, 2], [3, 4]])),
    (npt.NDArray[np.float32], np.array([0.1, 1.5], np.float32)),
]


@pytest.mark.usefixtures("Shopper")
@pytest.mark.parametrize(("annotation", "value"), TYPED)
def test_a_declared_type_comes_back_on_every_read(annotation: Any, value: Any) -> None:
    declare(value, annotation)
    first, *others = every_read()
    assert type(first) is type(value)
    assert is_equal(first, value) or bool(np.all(first == value))
    assert all(is_equal(first, other) for other in others)


AGAIN = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize("moment", [AGAIN, AGAIN.replace(fold=1), BERLIN + timedelta(hours=1)])
def test_a_time_of_the_hours_in_which_clocks_change_comes_back(moment: datetime) -> None:
    for annotation, value in ((datetime, moment), (list[datetime], [moment]), (Basket, Basket(Decimal(1), moment))):
        encoded = type_of("value", annotation).encode(value)
        text = json.dumps(encoded)
        assert moment.isoformat() in text
        assert type_of("value", annotation).encode(type_of("value", annotation).decode(json.loads(text))) == encoded


def test_what_became_of_a_set_has_one_order() -> None:
    tags = frozenset({"zeta", "alpha", "gamma", "beta"})
    ordered = sorted(tags)
    for annotation, value, expected in (
        (set[str], set(tags), ordered),
        (dict[str, list[set[str]]], {"b": [set(tags)], "a": []}, {"a": [], "b": [ordered]}),
        (Tagged, Tagged(tags), {"tags": ordered}),
        (Noted, Noted(tags), {"tags": ordered}),
        (Open, Open(name="a", tags=ordered), {"name": "a", "tags": ordered}),  # type: ignore[call-arg]
        (set[frozenset[str]], {tags, frozenset()}, [ordered, []]),
    ):
        assert type_of("value", annotation).encode(value) == expected


class Text(str):
    __slots__ = ()


UNTYPED = [
    (Decimal("12.50"), "12.50"),
    (MOMENT, "2026-03-29T02:30:00.123456+00:00"),
    (date(2026, 3, 29), "2026-03-29"),
    (time(1, 2), "01:02:00"),
    (timedelta(days=1, seconds=2), "P1DT00H00M02S"),
    (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (Tier.PAID, "paid"),
    (Level.LOW, 1),
    ({"b", "a", "c"}, ["a", "b", "c"]),
    (frozenset({3, 1}), [1, 3]),
    ((1, (2,)), [1, [2]]),
    ({1: "a", None: "b", date(2026, 1, 1): 1, Tier.PAID: 2}, {"1": "a", "null": "b", "paid": 2, "2026-01-01": 1}),
    (Basket(Decimal("1.50"), MOMENT), {"at": "2026-03-29T02:30:00.123456+00:00", "total": "1.50"}),
    (Point(1, date(2026, 1, 1)), [1, "2026-01-01"]),
    (np.float32(1.5), 1.5),
    (np.int64(3), 3),
    (np.bool_(True), True),
    (np.array([1, 2]), [1, 2]),
    (np.timedelta64(5_000_000_000, "ns"), "P0DT00H00M05S"),
    (np.array([90, "NaT"], "m8[s]"), ["P0DT00H01M30S", None]),
    ({"mean": np.float64(0.5), "many": [np.int8(1)]}, {"many": [1], "mean": 0.5}),
    (mark_safe("<b>"), "<b>"),
    (gettext_lazy("Yes"), "Yes"),
    (Text("a"), "a"),
    (1e16, 10**16),
    (1e300, int(1e300)),
    (-0.0, 0.0),
    (2**70, 2**70),
    ("😀", "😀"),
    ({"bb": 1, "a": 2, "\u00e4": 3}, {"a": 2, "bb": 1, "\u00e4": 3}),
    ([1.5, None, {"a": True}], [1.5, None, {"a": True}]),
]


@pytest.mark.usefixtures("Shopper")
@pytest.mark.parametrize(("value", "expected"), UNTYPED)
@pytest.mark.parametrize("annotation", [None, Any, object])
def test_without_a_type_every_read_gives_the_same_json(value: Any, expected: Any, annotation: Any) -> None:
    declare(value, annotation)
    for found in every_read():
        assert is_equal(found, expected)
        assert json.loads(json.dumps(found)) == found


class Thing:
    pass


class NotATime(datetime):
    """As the one of pandas, which stands for a missing time: a datetime that is not equal to itself."""

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = datetime.__hash__


LOOP: list[Any] = []
LOOP.append(LOOP)

REFUSED = [
    (None, float("nan"), "float"),
    (None, float("inf"), "float"),
    (None, [1, float("-inf")], "list"),
    (None, Decimal("NaN"), "Decimal"),
    (None, np.array([np.nan]), "ndarray"),
    (None, np.datetime64("2026-01-01T00:00"), "timezone"),
    (None, np.datetime64("2026-01-01T00:00", "ns"), "timezone"),
    (None, np.datetime64("2026-01-01T00:00:00.000000001"), "microseconds"),
    (None, np.array(["2026-01-01T00:00"], "M8[ns]"), "timezone"),
    (None, {"a": np.timedelta64(1, "ns")}, "microseconds"),
    (None, np.timedelta64(1, "M"), "fixed length"),
    (None, np.timedelta64(5), "fixed length"),
    (None, NotATime(2026, 1, 1, tzinfo=UTC), "NotATime is no time"),
    (None, b"x", "bytes"),
    (None, {"a": b"x"}, "dict"),
    (None, Thing(), "Thing"),
    (None, (number for number in range(3)), "generator"),
    (None, datetime(2026, 1, 1), "timezone"),  # noqa: DTZ001
    (None, "a\x00b", "NUL"),
    (None, {"a\x00": 1}, "NUL"),
    (None, "a\ud83d", "surrogate"),
    pytest.param(None, 10**5000, "int", id="giant"),
    (None, {1: "a", "1": "b"}, "Two keys"),
    (None, {(1, 2): "a"}, "tuple"),
    (None, LOOP, "nested"),
    (None, 1j, "complex"),
    (Decimal, "abc", "str as Decimal"),
    (Decimal, Decimal("Infinity"), "Decimal as Decimal"),
    (float, float("nan"), "float as float"),
    (datetime, datetime(2026, 1, 1), "timezone"),  # noqa: DTZ001
    (datetime, date(2026, 1, 1), "timezone"),
    (list[datetime], [datetime(2026, 1, 1)], "timezone"),  # noqa: DTZ001
    (date, MOMENT, "datetime as date"),
    (set[int], {"a"}, "set as set[int]"),
    (Open, Open(name="a", tags={"b"}), "Open as Open"),  # type: ignore[call-arg]
    (str, 5, "int as str"),
    (str, "a\x00b", "NUL"),
    (Tier, "gold", "str as Tier"),
    (Literal["a"], "b", "str as"),
    (bytes, b"\xff", "bytes as bytes"),
    (Decimal | str, Decimal("1.5"), "another value"),
    (time, time(1, 2, tzinfo=ZoneInfo("Europe/Berlin")), "fixed offset"),
    (np.ndarray, np.array([np.nan]), "not a finite number"),
]


@pytest.mark.usefixtures("Shopper")
@pytest.mark.parametrize(("annotation", "value", "named"), REFUSED)
def test_what_cannot_come_back_is_refused_by_type_and_feature(annotation: Any, value: Any, named: str) -> None:
    declare(value, annotation)
    for _ in range(2):
        with pytest.raises(FeatureValueRefused) as refused:
            get()
        assert "'value'" in str(refused.value)
        assert named in str(refused.value)
        assert refused.value.code == "invalid_feature_value"
    with pytest.raises(InvalidFeatureValue, match="'value'"):
        async_to_sync(store.set_feature)("value", "s1", value)
    assert not FeatureValue.objects.exists()


@pytest.mark.usefixtures("Shopper")
def test_string_annotations_wrapped_async_and_batch_functions_are_typed() -> None:
    for function, options in (
        (typed_definitions.price, {}),
        (typed_definitions.seen_at, {}),
        (typed_definitions.wrapped, {}),
        (typed_definitions.for_each, {"batch": True}),
        (typed_definitions.in_order, {"batch": True}),
        (typed_definitions.defined_later, {}),
    ):
        feature(entity="Shopper", **options)(function)
    assert get("price") == Decimal("12.50")
    assert get("seen_at") == datetime(2026, 3, 29, 2, 30, tzinfo=UTC)
    assert [(value, type(value[0])) for value in every_read("wrapped")] == [([Decimal("0.10")], Decimal)] * 8
    assert all(isinstance(value, Decimal) for value in every_read("for_each"))
    assert every_read("in_order") == [{1, 2}] * 8


@pytest.mark.usefixtures("Shopper")
def test_an_annotation_of_no_use_is_a_warning_and_json_types_are_served() -> None:
    feature(entity="Shopper")(typed_definitions.unresolved)
    declare({"size": 1}, Shape, "shape")
    declare("x", Thing, "thing")
    declare(Decimal(1), Decimal, "fine")
    assert {(problem.id, problem.msg.split("'")[1]) for problem in check_annotations()} >= {
        ("features.W001", "unresolved"), ("features.W001", "thing"),
    }  # fmt: skip
    assert "'fine'" not in " ".join(problem.msg for problem in check_annotations())
    assert (get("unresolved"), get("shape"), get("thing")) == ("s1", {"size": 1}, "x")


@pytest.mark.usefixtures("Shopper")
def test_a_sequence_and_a_mapping_are_what_json_gives() -> None:
    declare(("a", "b"), Sequence[str], "names")
    declare({"a": Decimal(1)}, Mapping[str, Decimal], "prices")
    assert [list(value) for value in every_read("names")] == [["a", "b"]] * 8
    assert every_read("prices") == [{"a": Decimal(1)}] * 8


@pytest.mark.usefixtures("Shopper")
def test_a_value_that_is_set_is_checked_and_read_in_the_declared_type() -> None:
    declare(None, Decimal | None)
    for given in (Decimal("2.50"), "2.50"):
        async_to_sync(store.set_feature)("value", "s1", given)
        assert is_equal(get(), Decimal("2.50"))
    with pytest.raises(InvalidFeatureValue) as refused:
        async_to_sync(store.set_feature)("value", "s1", "a lot")
    assert str(refused.value).startswith("The feature 'value' cannot store this str as Decimal | None: ")


@pytest.mark.usefixtures("Shopper")
def test_a_default_has_the_declared_type_and_its_row_json() -> None:
    def broken(shopper_id: str) -> Decimal:
        raise OSError

    feature(entity="Shopper", default_value=Decimal("0.00"))(broken)
    declare(None, None, "untyped", default_value=(1, Decimal("2.0")), trigger="never")
    assert is_equal(get("broken"), Decimal("0.00"))
    assert get("untyped") == [1, "2.0"]
    sync_features()
    assert FeatureDefinition.objects.get(name="broken").default_value == "0.00"
    with pytest.raises(DefinitionError, match="default_value: The feature 'thing' cannot store this Thing"):
        declare(None, None, "thing", default_value=Thing())


@pytest.mark.usefixtures("Shopper")
def test_a_stored_value_of_an_earlier_type_is_computed_again() -> None:
    declare("a lot")
    assert get() == "a lot"
    features.pop("value")
    declare(Decimal("7.0"), Decimal)
    assert is_equal(get(), Decimal("7.0"))
    assert is_equal(get(), Decimal("7.0"))
    before = FeatureValue.objects.order_by("id")[0].event_timestamp
    with pytest.raises(InvalidFeatureValue, match="cannot store this str as Decimal"):
        async_to_sync(store.get_historical_features)([{"shopper_id": "s1", "event_timestamp": before}], ["value"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("Shopper")
def test_an_event_writes_the_declared_type_or_is_dead_at_once() -> None:
    @feature(entity="Shopper", trigger="paid", default_value=Decimal(0))
    def spent(shopper_id: str, event: AxiomEvent) -> Decimal:
        value: Decimal = event.payload["amount"]
        return value

    for amount in ("12.50", "a lot"):
        event = AxiomEvent(event_type="paid", entity_id="s1", payload={"amount": amount})
        process(record_event(event, Event.Source.API)[0].pk)
    assert is_equal(get("spent"), Decimal("12.50"))
    dead = Event.objects.get(state=Event.State.DEAD)
    assert dead.attempts == 1
    assert "The feature 'spent' cannot store this str as Decimal" in dead.error


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("Shopper")
def test_a_context_gets_the_type_and_its_trace_and_rest_json(admin_client: Client) -> None:
    declare(Decimal("12.50"), Decimal)

    @context(store, name="typed")
    async def typed(user_id: str) -> list[ContextItem]:
        value = await store.get_feature("value", user_id)
        return [ContextItem(f"{value + 1:.1f}")]

    for _ in range(2):
        found = async_to_sync(typed)("s1")
        assert found.content == "13.5"
        assert [read["value"] for read in found.evidence["features"]] == ["12.50"]
        assert Trace.objects.filter(pk=found.id).exists()
    (read,) = async_to_sync(read_features)("Shopper", "s1", ["value"])
    assert (read.value, read.stored) == (Decimal("12.50"), "12.50")
    shown = admin_client.get("/api/features/Shopper/s1/", {"names": "value"}).json()
    assert shown["features"]["value"]["value"] == "12.50"
