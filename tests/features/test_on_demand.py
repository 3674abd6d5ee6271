"""On-demand features: computed at each read from others and the request, never stored; and feature sets."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import redis.asyncio.connection as redis_connection
from asgiref.sync import async_to_sync
from django.db.models import Count, QuerySet
from django.test import Client

from chat.models import Customer, Ticket
from common.errors import DefinitionError, InvalidInput, NotFound
from contexts.declaration import context
from contexts.items import Context, ContextItem
from contexts.models import ContextDefinition, Trace
from contexts.store import FeatureStore
from contexts.sync_definitions import sync_contexts
from features.checks import check_inputs
from features.declaration import entity, feature
from features.errors import FeatureComputeError
from features.failures import failures_of
from features.feature_sets import FeatureSet, feature_set
from features.models import EntityDefinition, FeatureDefinition, FeatureValue, KnownEntity
from features.preview import preview_feature
from features.registry import features
from features.request_data import request_data
from features.serving import online_store, operator_settings, read_features
from features.sync_definitions import sync_features

pytestmark = pytest.mark.django_db
store = FeatureStore()


@pytest.fixture(autouse=True)
def billing() -> FeatureSet:
    @entity(store, name="Member")
    class Member:
        user_id: str

    @feature(entity=Member, default_value="free")
    def plan(user_id: str) -> str:
        if user_id == "broken":
            raise ValueError("no plan")
        return "gold"

    @feature(entity=Member)
    def debt(user_id: str) -> Decimal:
        if user_id == "broken":
            raise ValueError("no debt")
        return Decimal("12.50")

    @feature(entity=Member, on_demand=True)
    def asks_for_money(user_id: str, request: Mapping[str, Any]) -> bool:
        return "refund" in request.get("query", "")

    @feature(entity=Member, on_demand=True)
    async def urgency(user_id: str, debt: Decimal, plan: str, asks_for_money: bool) -> Decimal:
        return debt * (2 if plan == "gold" else 1) * (10 if asks_for_money else 1)

    return feature_set("billing", [plan, debt, urgency], description="What billing asks for.")


def read(*names: str, key: str = "ana", **request: Any) -> Any:
    return async_to_sync(store.get_online_features)("Member", key, list(names), request=request)


def test_it_is_computed_from_other_features_and_the_request_and_never_stored() -> None:
    assert read("urgency") == {"urgency": Decimal("25.00")}
    assert read("urgency", query="a refund, please") == {"urgency": Decimal("250.00")}
    assert set(FeatureValue.objects.values_list("feature", flat=True)) == {"plan", "debt"}
    assert async_to_sync(online_store.read)("Member", "ana", ["urgency", "asks_for_money"]) == {}


def test_its_inputs_come_in_one_round_trip_and_no_query(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    read("urgency", "plan")
    commands: list[Any] = []

    async def count() -> dict[str, Any]:
        original = redis_connection.Connection.send_packed_command

        async def counted(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
            commands.append(command)
            return await original(self, command, *args, **kwargs)

        names = ["plan", "urgency", "asks_for_money"]
        await store.get_online_features("Member", "ana", names)  # connects
        monkeypatch.setattr(redis_connection.Connection, "send_packed_command", counted)
        return await store.get_online_features("Member", "ana", names)

    with django_assert_num_queries(0):
        assert async_to_sync(count)()["urgency"] == 25
    assert len(commands) == 1


def test_many_entities_are_read_together() -> None:
    found = async_to_sync(store.get_online_features)("Member", ["ana", "ben"], ["urgency"])
    assert found == {"ana": {"urgency": Decimal("25.00")}, "ben": {"urgency": Decimal("25.00")}}


def test_its_read_says_that_it_was_computed_for_this_request() -> None:
    (found,) = async_to_sync(read_features)("Member", "ana", ["urgency"])
    assert (found.status, found.source, found.stored, found.value_id) == ("fresh", "on_demand", "25.00", None)


def test_what_fails_is_an_error_or_the_default_and_is_counted() -> None:
    @feature(entity="Member", on_demand=True)
    def strict(user_id: str, request: Mapping[str, Any]) -> int:
        return int(request["number"])

    @feature(entity="Member", on_demand=True, default_value=-1)
    def lenient(user_id: str, strict: int) -> int:
        return strict

    @feature(entity="Member", on_demand=True, default_value=0)
    def wrong(user_id: str) -> int:
        return "no number"

    with pytest.raises(FeatureComputeError, match="strict"):
        read("strict")
    assert read("lenient", "wrong") == {"lenient": -1, "wrong": 0}
    assert read("lenient", "strict", number="7") == {"lenient": 7, "strict": 7}
    (found,) = async_to_sync(read_features)("Member", "ana", ["lenient"])
    assert (found.source, found.error) == ("default", "KeyError")
    failed = failures_of(["strict", "lenient", "wrong"])
    assert failed and [sum(failed[name].by_day.values()) for name in ("strict", "lenient", "wrong")] == [3, 0, 1]


def test_an_input_that_fails_is_an_error_of_what_needs_it_alone() -> None:
    with pytest.raises(FeatureComputeError, match="needs 'debt'"):
        read("urgency", key="broken")
    assert read("plan", "asks_for_money", key="broken") == {"plan": "free", "asks_for_money": False}


def test_one_that_is_switched_off_has_its_default() -> None:
    sync_features()
    FeatureDefinition.objects.filter(name="asks_for_money").update(is_enabled=False)
    operator_settings.clear()
    assert read("asks_for_money", "urgency", query="refund") == {"asks_for_money": None, "urgency": Decimal("25.00")}


def test_the_request_is_known_from_further_up() -> None:
    with request_data(query="refund", traits={"company": "Acme"}):
        assert read("asks_for_money") == {"asks_for_money": True}
        assert read("asks_for_money", query="hello") == {"asks_for_money": False}
    assert read("asks_for_money") == {"asks_for_money": False}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"materialize": True}, "takes no materialize"),
        ({"trigger": "sent"}, "takes no trigger"),
        ({"source": "token"}, "takes no source"),
        ({"batch": True}, "takes no batch"),
        ({"refresh": "1h"}, "takes no refresh"),
        ({"ttl": "1h"}, "takes no ttl"),
    ],
)
def test_arguments_about_stored_values_are_refused(options: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        feature(entity="Member", on_demand=True, name="x", **options)(lambda user_id: 1)


@pytest.mark.parametrize(
    "function", [lambda: 1, lambda user_id, *plan: 1, lambda *user_id: 1, lambda user_id, **plan: 1]
)
def test_a_function_whose_parameters_have_no_names_is_refused(function: Any) -> None:
    with pytest.raises(DefinitionError, match="then features by their names"):
        feature(entity="Member", on_demand=True, name="x")(function)


def test_a_circle_is_refused_where_it_closes_and_says_which() -> None:
    feature(entity="Member", on_demand=True, name="a")(lambda user_id, b: b)
    feature(entity="Member", on_demand=True, name="b")(lambda user_id, c, plan: c)
    with pytest.raises(DefinitionError, match="'c' needs itself: c -> a -> b -> c"):
        feature(entity="Member", on_demand=True, name="c")(lambda user_id, a: a)
    with pytest.raises(DefinitionError, match="'d' needs itself: d -> d"):
        feature(entity="Member", on_demand=True, name="d")(lambda user_id, d: d)


def test_inputs_that_no_code_declares_or_of_another_entity_are_told() -> None:
    @entity(store, name="Thing")
    class Thing:
        thing_id: str

    feature(entity="Thing", name="weight")(lambda thing_id: 1)
    with pytest.raises(DefinitionError, match="one of Thing"):
        feature(entity="Member", on_demand=True, name="x")(lambda user_id, weight: 1)
    assert check_inputs() == []
    feature(entity="Member", on_demand=True, name="y")(lambda user_id, nowhere: 1)
    assert [(problem.id, "'nowhere'" in problem.msg) for problem in check_inputs()] == [("features.E002", True)]
    with pytest.raises(NotFound):
        read("y")


def test_there_is_nothing_to_store_to_run_or_to_look_back_at() -> None:
    now = datetime.now(UTC)
    with pytest.raises(InvalidInput, match="at each read"):
        async_to_sync(store.set_feature)("urgency", "ana", 1)
    with pytest.raises(InvalidInput, match="at each read"):
        async_to_sync(store.materialize)("urgency")
    with pytest.raises(InvalidInput, match="no history"):
        async_to_sync(store.get_historical_features)([{"user_id": "ana", "event_timestamp": now}], ["urgency"])


def test_a_preview_gets_the_request_and_stores_nothing() -> None:
    preview = preview_feature(features["urgency"], "ana")
    assert preview.value == "25.00"
    assert preview_feature(features["asks_for_money"], "ana", payload={"query": "refund"}).value is True
    assert not FeatureValue.objects.exists()


class TestSets:
    def test_a_set_is_asked_for_by_itself_or_its_name(self, billing: FeatureSet) -> None:
        values = {"plan": "gold", "debt": Decimal("12.50"), "urgency": Decimal("25.00")}
        assert async_to_sync(store.get_features)(billing, "ana") == values
        assert async_to_sync(store.get_features)("billing", "ana", request={"query": "refund"})["urgency"] == 250
        assert async_to_sync(store.get_online_features)("Member", "ana", billing) == values

    def test_what_is_no_group_of_one_entitys_features_is_refused(self) -> None:
        @entity(store, name="Thing")
        class Thing:
            thing_id: str

        feature(entity="Thing", name="weight")(lambda thing_id: 1)
        for members, says in (
            ([], "no features"),
            (["plan", "weight"], "two entities"),
            (["nowhere"], "before its sets"),
        ):
            with pytest.raises(DefinitionError, match=says):
                feature_set("other", members)
        with pytest.raises(DefinitionError, match="declared twice"):
            feature_set("billing", ["plan"])

    def test_a_context_gets_the_features_of_its_set_and_the_trace_has_them(self, billing: FeatureSet) -> None:
        @context(store, name="money", features=billing)
        async def money(user_id: str, query: str, features: dict[str, Any]) -> list[ContextItem]:
            return [ContextItem(f"{features['plan']} {features['urgency']}", required=True)]

        made: Context = async_to_sync(money)("ana", "a refund, please")
        assert made.content == "gold 250.00"
        body = json.loads(Trace.objects.get().body.text)
        assert sorted((feature["feature"], feature["source"]) for feature in body["features"]) == [
            ("asks_for_money", "on_demand"), ("debt", "computed"), ("plan", "computed"), ("urgency", "on_demand"),
        ]  # fmt: skip
        assert body["inputs"] == {"user_id": "ana", "query": "a refund, please"}
        assert async_to_sync(money)("ana", "?", features={"plan": "x", "urgency": 1}).content == "x 1"

    def test_a_context_whose_function_can_not_take_them_is_refused(self, billing: FeatureSet) -> None:
        functions: tuple[Any, ...] = (lambda user_id, query: [], lambda query, features: [])
        for function in functions:
            with pytest.raises(DefinitionError, match="it takes"):
                context(store, name="money", features=billing)(function)
        with pytest.raises(DefinitionError, match="must be a feature set"):
            context(store, name="money", features="billing")(lambda user_id, features: [])

    def test_over_rest_a_set_and_the_requests_data(self, admin_client: Client) -> None:
        wanted = {"plan": "gold", "debt": "12.50", "urgency": "250.00"}
        data = {"request": '{"query": "refund"}'}
        for path in ("/api/feature-sets/billing/ana/", "/api/features/Member/ana/?names=plan,debt,urgency"):
            found = admin_client.get(path, data | {"names": "plan,debt,urgency"}).json()
            assert {name: feature["value"] for name, feature in found["features"].items()} == wanted
        assert admin_client.get("/api/feature-sets/other/ana/").status_code == 404
        assert admin_client.get("/api/feature-sets/billing/%20/").status_code == 400
        assert admin_client.get("/api/feature-sets/billing/ana/", {"request": "[]"}).status_code == 400

    def test_reads_make_an_entity_known_as_others_do(self, billing: FeatureSet) -> None:
        async_to_sync(store.get_features)(billing, "ana")
        assert KnownEntity.objects.filter(entity="Member", entity_key="ana").exists()


def test_the_admin_shows_where_values_come_from(admin_client: Client) -> None:
    @feature(entity="Member", source=Customer.objects, key="user_id", watches=[Ticket])
    def open_tickets(customers: QuerySet[Customer]) -> QuerySet[Customer]:
        return customers.annotate(value=Count("tickets"))

    sync_features()
    wanted = {
        "open_tickets": ["the rows of chat.Customer by user_id", "chat.Customer, chat.Ticket (tickets)"],
        "urgency": ["the request, and other features", ">debt</a>", ">billing<", "never stored"],
        "asks_for_money": ["the request", "on demand, at each read"],
    }
    for name, texts in wanted.items():
        row = FeatureDefinition.objects.get(name=name)
        page = admin_client.get(f"/admin/features/featuredefinition/{row.pk}/change/").content.decode()
        assert [text for text in texts if text not in page] == []
    run = admin_client.get(f"/admin/features/featuredefinition/{row.pk}/materialize/", follow=True).content.decode()
    assert "it is computed at each read; there is nothing to run" in run
    assert "never stored" in admin_client.get("/admin/features/featuredefinition/").content.decode()
    entity_row = EntityDefinition.objects.get(name="Member")
    page = admin_client.get(f"/admin/features/entitydefinition/{entity_row.pk}/change/").content.decode()
    assert "plan, debt, urgency" in page and "What billing asks for." in page


def test_the_page_of_a_context_shows_its_set(admin_client: Client, billing: FeatureSet) -> None:
    @context(store, name="money", features=billing)
    async def money(user_id: str, features: dict[str, Any]) -> list[ContextItem]:
        return []

    sync_features()
    sync_contexts()
    row = ContextDefinition.objects.get(name="money")
    page = admin_client.get(f"/admin/contexts/contextdefinition/{row.pk}/change/").content.decode()
    for name in billing.features:
        assert f'/change/">{name}</a>' in page
    assert "<p>billing</p>" in page
