"""Retrievers cache what cannot be stale."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync

from common.errors import DefinitionError
from contexts.store import FeatureStore
from retrieval.indexing.documents import delete_document
from retrieval.models import RetrieverDefinition
from retrieval.retrievers.declaration import operator_settings, retriever
from retrieval.search.hits import Hits
from retrieval.search.questions import EarlierQuestion, Embedding
from retrieval.signals import retrieved, searched

pytestmark = pytest.mark.django_db
store = FeatureStore()


@pytest.fixture
def find() -> Callable[..., Any]:
    @retriever(name="find", cache_ttl="5m")
    async def find(query: str, top_k: int = 5) -> list[str]:
        return [hit["content"] for hit in await store.search("docs", query, top_k=top_k)]

    return async_to_sync(find)


@pytest.fixture
def calls() -> Any:
    """Gather (retriever, is_cached) of each call, and the number of searches that ran."""
    seen: list[Any] = []

    def on_retrieved(record: Any, **kwargs: Any) -> None:
        seen.append((record.retriever, record.is_cached))

    retrieved.connect(on_retrieved)
    yield seen
    retrieved.disconnect(on_retrieved)


def test_the_second_call_is_served_from_the_cache(
    put: Any, find: Any, calls: Any, django_assert_num_queries: Any
) -> None:
    put("a", "Penguins live in the south.")
    first = find("penguins")
    with django_assert_num_queries(1):  # the primary-key read of the index's version
        assert find("penguins") == first == ["Penguins live in the south."]
    assert calls == [("find", False), ("find", True)]


def test_a_changed_index_is_never_served_from_the_cache(put: Any, find: Any) -> None:
    for number in range(5):
        put("a", f"There are {number} penguins.")
        assert find("penguins") == [f"There are {number} penguins."]
        assert find("penguins") == [f"There are {number} penguins."]
    put("b", "Gulls and penguins.")
    assert len(find("penguins")) == 2
    delete_document("docs", "a")
    assert find("penguins") == ["Gulls and penguins."]


def test_a_cached_call_still_tells_the_trace_what_was_found(put: Any, find: Any) -> None:
    put("a", "Penguins.")
    records: list[Any] = []

    def on_searched(record: Any, **kwargs: Any) -> None:
        records.append(record)

    searched.connect(on_searched)
    find("penguins")
    find("penguins")
    searched.disconnect(on_searched)
    assert [(record.is_cached, record.hits[0].content) for record in records] == [
        (False, "Penguins."),
        (True, "Penguins."),
    ]


def test_arguments_and_configuration_are_in_the_key(put: Any, find: Any, calls: Any) -> None:
    put("a", "Penguins.")
    find("penguins")
    find("penguins", top_k=3)
    find("gulls")
    find("penguins", 5)  # the default, spelled out
    assert [cached for _, cached in calls] == [False, False, False, True]


def test_an_empty_body_searches_its_index(put: Any) -> None:
    @retriever(name="by_index", index="docs", top_k=1, filters={"kind": "bird"}, cache_ttl="1m")
    async def by_index(query: str) -> Hits: ...

    put("a", "Penguins swim.", {"kind": "bird"})
    put("b", "Penguins swim well.", {"kind": "book"})
    for _ in range(2):
        hits = async_to_sync(by_index)("penguins swim well")
        assert [hit["document_id"] for hit in hits] == ["a"]


def test_with_redis_down_it_searches(put: Any, find: Any, redis_down: None) -> None:
    put("a", "Penguins.")
    assert find("penguins") == find("penguins") == ["Penguins."]


def test_an_operator_can_switch_it_off(put: Any, find: Any) -> None:
    put("a", "Penguins.")
    RetrieverDefinition.objects.create(name="find", location="here", top_k=5, is_enabled=False)
    operator_settings.clear()
    assert find("penguins").flags == ("retriever_disabled",)


def test_what_cannot_work_is_refused() -> None:
    for arguments in [{"top_k": 0}, {"cache_ttl": "never"}]:
        with pytest.raises(DefinitionError):
            retriever(**arguments)(lambda query: [])
    with pytest.raises(DefinitionError, match="takes no argument"):
        retriever()(lambda: [])


def test_the_cache_of_one_reader_never_answers_another(put: Any, calls: Any) -> None:
    put("public", "Penguins live in the south.")
    put("secret", "Penguins of the staff live in the office.", audience=["staff"])
    reader: ContextVar[str] = ContextVar("reader")

    @retriever(name="told", index="docs", cache_ttl="5m")
    async def told(query: str, audience: tuple[str, ...] = ()) -> None: ...

    @retriever(name="hidden", cache_ttl="5m")
    async def hidden(query: str) -> Any:
        return await store.search("docs", query, audience=[reader.get()])

    def ask(name: str) -> list[int]:
        reader.set(name)
        return [len(async_to_sync(told)("penguins", audience=(name,))), len(async_to_sync(hidden)("penguins"))]

    for _ in range(2):
        assert ask("staff") == [2, 2]
        assert ask("guest") == [1, 1]
    assert [cached for name, cached in calls if name == "told"] == [False, False, True, True]
    assert [cached for name, cached in calls if name == "hidden"] == [False] * 4


def test_an_empty_body_searches_by_the_history_that_it_is_given(put: Any, calls: Any) -> None:
    put("storage", "How much storage do the plans have: 5 GB, and 100 GB.")
    put("refunds", "Refunds on the free plan take ten days.")

    @retriever(name="followed", index="docs", cache_ttl="5m")
    async def followed(query: str, history: tuple[str, ...] = ()) -> None: ...

    def first(**more: Any) -> str:
        return str(async_to_sync(followed)("And on the free one?", **more)[0].document_id)

    assert first() == "refunds"
    assert first(history=("How much storage do the plans have?",) * 3) == "storage"


def test_earlier_questions_are_part_of_the_caches_key_without_their_embeddings(put: Any, calls: Any) -> None:
    put("storage", "How much storage do the plans have: 5 GB, and 100 GB.")
    embedding = Embedding(model="another", vector=np.ones(3, np.float32))

    @retriever(name="followed", index="docs", cache_ttl="5m")
    async def followed(query: str, history: tuple[EarlierQuestion, ...] = ()) -> None: ...

    for question in (
        EarlierQuestion("Storage?"), EarlierQuestion("Storage?", embedding=embedding),
        EarlierQuestion("Storage?", is_rewritten=True), EarlierQuestion("Plans?"), EarlierQuestion("Plans?"),
    ):  # fmt: skip
        async_to_sync(followed)("And on the free one?", history=(question,))
    assert [cached for _, cached in calls] == [False, True, False, False, True]
