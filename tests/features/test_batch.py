"""A feature whose function takes many keys at once: one call, whoever asks."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from common.errors import DefinitionError
from contexts.store import FeatureStore
from features.compute import _MAX_CALLS
from features.declaration import entity, feature
from features.errors import FeatureComputeError
from features.models import FeatureValue, KnownEntity

pytestmark = pytest.mark.django_db
store = FeatureStore()


@pytest.fixture
def Bee() -> type:  # noqa: N802
    @entity(store)
    class Bee:
        bee_id: str

    return Bee


def declare(Bee: type, answer: Any, **arguments: Any) -> list[list[str]]:  # noqa: N803
    """Declare `flights`, answered by `answer(keys)`; return the list of the calls that were made."""
    calls: list[list[str]] = []

    @feature(entity=Bee, name="flights", batch=True, **{"batch_size": 4, **arguments})
    def flights(bee_ids: list[str]) -> Any:
        calls.append(bee_ids)
        return answer(bee_ids)

    return calls


def lengths(keys: list[str]) -> dict[str, int]:
    return {key: len(key) for key in keys}


def read(*keys: str) -> dict[str, Any]:
    answer = async_to_sync(store.get_online_features)("Bee", list(keys), ["flights"])
    return {key: values["flights"] for key, values in answer.items()}


@pytest.mark.parametrize("answer", [lengths, lambda keys: [len(key) for key in keys]])
def test_a_miss_of_several_is_one_call(Bee: type, answer: Any) -> None:  # noqa: N803
    calls = declare(Bee, answer)
    assert read("a", "bb", "a", "ccc") == {"a": 1, "bb": 2, "ccc": 3}
    assert async_to_sync(store.get_feature)("flights", "dd") == 2
    assert calls == [["a", "bb", "ccc"], ["dd"]]
    assert read("a", "dd", "new") == {"a": 1, "dd": 2, "new": 3}
    assert calls[2:] == [["new"]]


def test_with_redis_down_it_is_one_call_too(Bee: type, redis_down: None) -> None:  # noqa: N803
    calls = declare(Bee, lengths)
    assert [read("a", "bb"), read("a", "bb")] == [{"a": 1, "bb": 2}] * 2
    assert calls == [["a", "bb"]]


def test_an_async_function_works_too(Bee: type) -> None:  # noqa: N803
    @feature(entity=Bee, name="flights", batch=True)
    async def flights(bee_ids: list[str]) -> dict[str, int]:
        await asyncio.sleep(0)
        return lengths(bee_ids)

    assert read("a", "bb") == {"a": 1, "bb": 2}


def test_however_many_ask_at_once_each_key_is_computed_once(Bee: type) -> None:  # noqa: N803
    calls = declare(Bee, lengths, batch_size=100)

    async def ask() -> list[Any]:
        keys = [f"b{number}" for number in range(20)]
        asked = [keys[start : start + 10] for start in range(11)]
        return await asyncio.gather(*(store.get_online_features("Bee", keys, ["flights"]) for keys in asked))

    answers = async_to_sync(ask)()
    assert all(len(answer) == 10 for answer in answers)
    assert sorted(key for call in calls for key in call) == sorted(f"b{number}" for number in range(20))


def test_a_run_calls_once_for_each_batch_and_writes_it_at_once(
    Bee: type,  # noqa: N803
    django_assert_max_num_queries: Any,
) -> None:
    calls = declare(Bee, lengths, batch_size=50, materialize=True)
    KnownEntity.objects.bulk_create(KnownEntity(entity="Bee", entity_key=f"b{n:03}") for n in range(200))
    with django_assert_max_num_queries(60):
        run = async_to_sync(store.materialize)("flights")
    assert [len(call) for call in calls] == [50] * 4
    assert (run.state, run.done, run.failed) == ("done", 200, 0)
    assert FeatureValue.objects.filter(run=run).count() == 200


def test_a_key_the_function_says_nothing_of_has_the_default(Bee: type) -> None:  # noqa: N803
    calls = declare(Bee, lambda keys: {"a": 1, "stranger": 9}, default_value=-1)
    assert read("a", "b") == {"a": 1, "b": -1}
    assert read("b") == {"b": -1}
    assert len(calls) == 1, "what has no value is not asked for again and again"
    assert not FeatureValue.objects.filter(entity_key="stranger").exists()


def test_a_bad_key_fails_alone(Bee: type) -> None:  # noqa: N803
    def answer(keys: list[str]) -> dict[str, Any]:
        if "bad" in keys:
            raise ValueError("no such bee")
        return lengths(keys) | {"odd": float("nan")}

    declare(Bee, answer, batch_size=100)
    keys = [*(f"b{n}" for n in range(9)), "bad", "odd"]
    run = async_to_sync(store.materialize)("flights", keys)
    assert (run.done, run.failed) == (9, 2)
    assert {error["entity_key"] for error in run.errors} == {"bad", "odd"}
    assert "no such bee" in str(run.errors)


def test_a_source_that_is_down_is_not_asked_for_each_key(Bee: type) -> None:  # noqa: N803
    def answer(keys: list[str]) -> Any:
        raise ConnectionError

    calls = declare(Bee, answer, batch_size=500)
    run = async_to_sync(store.materialize)("flights", [f"b{n}" for n in range(500)])
    assert (run.state, run.failed) == ("failed", 500)
    assert len(calls) <= _MAX_CALLS


def test_one_bad_batch_does_not_stop_the_others(Bee: type) -> None:  # noqa: N803
    def answer(keys: list[str]) -> Any:
        if any(key < "b04" for key in keys):
            raise ConnectionError
        return lengths(keys)

    declare(Bee, answer)
    run = async_to_sync(store.materialize)("flights", [f"b{n:02}" for n in range(12)])
    assert (run.done, run.failed) == (8, 4)


@pytest.mark.parametrize("answer", [lambda keys: [1], lambda keys: "x", lambda keys: None])
def test_an_answer_of_another_shape_is_an_error_that_says_so(Bee: type, answer: Any) -> None:  # noqa: N803
    declare(Bee, answer)
    with pytest.raises(FeatureComputeError, match="must return a dict by key or a list"):
        read("a", "b")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": True, "trigger": "x"}, "not for a batch"),
        ({"batch_size": 5}, "batch=True"),
        ({"batch": True, "batch_size": 0}, "positive whole number"),
        ({"concurrency": True}, "positive whole number"),
        ({"concurrency": -1}, "positive whole number"),
    ],
)
def test_what_cannot_work_is_refused(Bee: type, arguments: dict[str, Any], message: str) -> None:  # noqa: N803
    with pytest.raises(DefinitionError, match=message):
        feature(entity=Bee, name="flights", **arguments)(lambda ids: {})


def test_a_batch_function_takes_one_argument(Bee: type) -> None:  # noqa: N803
    with pytest.raises(DefinitionError, match=r"called with \(entity_keys\)"):
        feature(entity=Bee, name="flights", batch=True)(lambda ids, other: {})
