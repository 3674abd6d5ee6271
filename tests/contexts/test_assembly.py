"""Each assembly leaves a trace that explains it, also one that fails."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from common.errors import DefinitionError
from contexts import registry
from contexts.checks import check_encoding
from contexts.declaration import context
from contexts.errors import AssemblyError, BudgetExceeded, ContextDisabled, FreshnessViolation
from contexts.items import Context, ContextItem
from contexts.models import ContextDefinition, Trace
from contexts.store import FeatureStore
from features.declaration import entity, feature

pytestmark = pytest.mark.django_db
store = FeatureStore()


@pytest.fixture
def Cat() -> type:  # noqa: N802
    @entity(store)
    class Cat:
        cat_id: str

    @feature(entity=Cat, ttl="1d")
    def weight(cat_id: str) -> float:
        return 4.5

    return Cat


def body_of(context_id: str) -> dict[str, Any]:
    return json.loads(Trace.objects.get(pk=context_id).body.text)


def test_a_list_of_items_becomes_an_assembled_context(Cat: type) -> None:  # noqa: N803
    @context(store, max_tokens=50)
    async def about(user_id: str, query: str, size: int = 3) -> list[ContextItem]:
        weight = await store.get_feature("weight", user_id)
        return [
            ContextItem(f"Weight: {weight}", priority=1, source_id="scales"),
            ContextItem("word " * 100, priority=2),
        ]

    made = async_to_sync(about)("tom", query="How heavy?")
    assert (made.content, str(made), made.max_tokens) == ("Weight: 4.5", "Weight: 4.5", 50)
    body = body_of(made.id)
    assert body["inputs"] == {"user_id": "tom", "query": "How heavy?", "size": "3"}
    assert [(item["kept"], item["source_id"]) for item in body["items"]] == [(True, "scales"), (False, None)]
    assert body["features"][0] | {"feature": "weight", "value": 4.5, "source": "computed"} == body["features"][0]
    assert body["budget"]["encoding"] == "o200k_base"
    trace = Trace.objects.get(pk=made.id)
    assert (trace.kept, trace.dropped, trace.user_id, trace.query) == (1, 1, "tom", "How heavy?")


def test_plain_functions_and_contexts_made_by_hand_work_too() -> None:
    @context(store)
    def plain(query: str) -> Context:
        return Context(items=[ContextItem(query)])

    assert async_to_sync(plain)("Hello").content == "Hello"


def test_a_context_that_chooses_another_hands_it_on_with_one_trace() -> None:
    @context(store)
    async def inner(query: str) -> list[ContextItem]:
        return [ContextItem("inner")]

    @context(store)
    async def outer(query: str) -> Context:
        return await inner(query)

    assert async_to_sync(outer)("x").content == "inner"
    assert Trace.objects.get().context == "inner"


@pytest.mark.parametrize(
    ("returned", "error", "code"),
    [
        (RuntimeError("secret"), RuntimeError, "context_failed"),
        ("text", AssemblyError, "assembly_failed"),
        ([ContextItem("word " * 100, required=True)], BudgetExceeded, "budget_exceeded"),
    ],
)
def test_a_failure_leaves_a_trace_too(Cat: type, returned: Any, error: type[Exception], code: str) -> None:  # noqa: N803
    @context(store, max_tokens=20)
    async def failing(user_id: str) -> Any:
        await store.get_feature("weight", user_id)
        if isinstance(returned, Exception):
            raise returned
        return returned

    with pytest.raises(error):
        async_to_sync(failing)("tom")
    trace = Trace.objects.get()
    assert (trace.state, trace.error_code) == ("failed", code)
    assert json.loads(trace.body.text)["features"][0]["feature"] == "weight"
    assert "secret" not in trace.body.text


def test_overflow_can_be_allowed_and_is_flagged() -> None:
    @context(store, max_tokens=20, overflow="allow")
    async def over(query: str) -> list[ContextItem]:
        return [ContextItem("word " * 100, required=True), ContextItem("small")]

    made = async_to_sync(over)("x")
    assert made.tokens > 20
    assert Trace.objects.get().flags == ["over_budget"]


def test_freshness_is_checked_and_strict_refuses(Cat: type) -> None:  # noqa: N803
    async_to_sync(store.set_feature)("weight", "tom", 5, datetime.now(UTC) - timedelta(hours=2))

    def declare(**arguments: Any) -> Any:
        @context(store, freshness_sla="1h", name=f"fresh{len(arguments)}", **arguments)
        async def fresh(user_id: str) -> list[ContextItem]:
            return [ContextItem(str(await store.get_feature("weight", user_id)))]

        return async_to_sync(fresh)

    made = declare()("tom")
    assert Trace.objects.get(pk=made.id).flags == ["freshness_violation:weight"]
    with pytest.raises(FreshnessViolation, match="weight"):
        declare(freshness_strict=True)("tom")


def test_an_operator_can_change_the_budget_and_switch_a_context_off() -> None:
    @context(store, max_tokens=1000)
    async def adjustable(query: str) -> list[ContextItem]:
        return [ContextItem("short"), ContextItem("word " * 100, priority=1)]

    row = ContextDefinition.objects.create(
        name="adjustable", location="here", declared_max_tokens=1000, overflow="raise", max_tokens_override=10
    )
    assert async_to_sync(adjustable)("x").content == "short"
    row.is_enabled = False
    row.save()
    registry.operator_settings.clear()
    with pytest.raises(ContextDisabled):
        async_to_sync(adjustable)("x")


def test_a_model_that_tiktoken_does_not_know_is_counted_by_the_setting_and_said() -> None:
    @context(store, model="claude-x")
    async def other(query: str) -> list[ContextItem]:
        return [ContextItem("Hello")]

    budget = body_of(async_to_sync(other)("x").id)["budget"]
    assert (budget["encoding"], budget["encoding_is_exact"], budget["model"]) == ("o200k_base", False, "claude-x")
    assert [warning.id for warning in check_encoding()] == ["contexts.W001"]


def test_a_wrong_encoding_is_a_system_check(settings: Any) -> None:
    settings.FABRA_ENCODING = "p50k_base"
    assert [error.id for error in check_encoding()] == ["contexts.E001"]


def test_what_cannot_work_is_refused_at_declaration() -> None:
    for arguments in [{"max_tokens": 0}, {"max_tokens": "many"}, {"overflow": "cut"}, {"freshness_sla": "x"}]:
        with pytest.raises(DefinitionError):
            context(store, **arguments)(lambda query: [])


def test_a_trace_is_found_in_redis_and_without_redis_in_postgresql(settings: Any) -> None:
    @context(store)
    async def short(query: str) -> list[ContextItem]:
        return [ContextItem("short")]

    made = async_to_sync(short)("x")
    fast = async_to_sync(store.online_store.get)(f"trace:{made.id}")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    slow = async_to_sync(store.online_store.get)(f"trace:{made.id}")
    assert fast == slow is not None
    for missing in ("trace:nonsense", "trace:00000000-0000-0000-0000-000000000000"):
        assert async_to_sync(store.online_store.get)(missing) is None
