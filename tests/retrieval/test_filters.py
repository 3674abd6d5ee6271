"""Filters on metadata, and audiences: what is found, what is refused, what never leaks."""

from typing import Any

import pytest

from common.errors import InvalidInput
from retrieval.models import Chunk
from retrieval.search.execute import search_sync
from retrieval.search.filters import EVERYONE, InvalidFilter, conditions

pytestmark = pytest.mark.django_db

DOCUMENTS: dict[str, dict[str, Any]] = {
    "one": {"category": "account", "version": 1, "tags": ["sso", "saml"], "released": "2024-01-31"},
    "two": {"category": "account", "version": 3, "tags": ["billing"], "released": "2024-12-01"},
    "three": {"category": "billing", "version": 3.5, "tags": "sso", "draft": True},
    "four": {"category": None, "version": "3", "a b'c%s\"": 1},
    "five": {},
}


@pytest.fixture
def documents(put: Any) -> None:
    for number, (name, metadata) in enumerate(DOCUMENTS.items()):
        put(name, f"# Passwords {number}\n\nReset the password number {number}.", metadata)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"category": "account"}, "one two"),
        ({"category": {"$eq": "billing"}}, "three"),
        ({"category": None}, "four"),
        ({"version": 3}, "two"),
        ({"version": {"$gte": 3}}, "two three"),
        ({"version": {"$gt": 1, "$lt": 3.5}}, "two"),
        ({"version": {"$lte": "3"}}, "four"),
        ({"released": {"$gte": "2024-02-01"}}, "two"),
        ({"tags": "sso"}, "one three"),
        ({"tags": {"$in": ["billing", "saml"]}}, "one two"),
        ({"tags": {"$nin": ["sso", "billing"]}}, "four five"),
        ({"category": {"$ne": "account"}}, "three four five"),
        ({"draft": {"$exists": True}}, "three"),
        ({"version": {"$exists": False}}, "five"),
        ({"draft": True}, "three"),
        ({"category": "account", "version": {"$gte": 3}}, "two"),
        ({"$or": [{"category": "billing"}, {"version": 1}]}, "one three"),
        ({"$and": [{"category": "account"}, {"$not": {"version": 1}}]}, "two"),
        ({"a b'c%s\"": {"$gte": 1}}, "four"),
        ({"nothing": 1}, ""),
    ],
)
def test_a_filter_finds_exactly_what_fulfils_it(documents: None, filters: Any, found: str) -> None:
    hits = search_sync("docs", "reset my password", 10, filters).hits
    assert sorted(hit.document_id for hit in hits) == sorted(found.split())


@pytest.mark.parametrize(
    "filters",
    [
        "category", ["category"], {"category": {"$like": "a"}}, {"category": {}}, {"category": ["a"]}, {"$nor": [{}]},
        {"$or": []}, {"$or": {"a": 1}}, {"$and": [{}]}, {"$not": []}, {"a": {"$in": []}}, {"a": {"$in": "b"}},
        {"a": {"$in": [["b"]]}}, {"a": {"$gte": None}}, {"a": {"$gte": True}}, {"a": {"$exists": 1}}, {1: 2},
        {"a": {"$eq": {"b": 1}}}, {"a": float("nan")}, {"a\x00": 1}, {"a": "\x00"}, {"a": {"$in": list(range(300))}},
        {"$category": 1},
    ],
)  # fmt: skip
def test_what_the_grammar_does_not_know_is_an_error(documents: None, filters: Any) -> None:
    with pytest.raises(InvalidInput):
        search_sync("docs", "password", 5, filters)


def test_a_filter_too_deep_is_an_error_and_no_crash() -> None:
    filters: Any = {"a": 1}
    for _ in range(100_000):
        filters = {"$not": filters}
    with pytest.raises(InvalidFilter, match="levels deep"):
        conditions(filters, None)


def found(audience: Any, **options: Any) -> set[str]:
    return {hit.document_id for hit in search_sync("docs", "plan upgrade", 10, audience=audience, **options).hits}


def test_a_document_is_found_by_its_audience_only(put: Any) -> None:
    put("public", "# Plans\n\nHow to upgrade a plan.")
    put("premium", "# Premium plans\n\nThe phone line for an upgrade of your plan.", audience=["premium", "staff"])
    assert found(None) == found([]) == found(["free"]) == {"public"}
    assert found(["premium"]) == found(("staff", "free")) == found(EVERYONE) == {"public", "premium"}
    for mode in ("semantic", "lexical"):
        assert found(["free"], mode=mode) == {"public"}


def test_a_new_audience_counts_at_once_and_embeds_nothing(put: Any) -> None:
    put("premium", "# Plans\n\nHow to upgrade a plan.", audience=["premium"])
    result = put("premium", "# Plans\n\nHow to upgrade a plan.", audience=["staff"])
    assert (result.is_changed, result.embedded_count) == (True, 0)
    assert found(["premium"]) == set()
    assert found(["staff"]) == {"premium"}
    assert Chunk.objects.get().audience == ["staff"]


@pytest.mark.parametrize(
    "audience", ["premium", [1], [""], ["*", "a"], ["a\x00"], ["x" * 151], [str(n) for n in range(101)]]
)
def test_an_audience_is_a_list_of_names(put: Any, audience: Any) -> None:
    with pytest.raises(InvalidInput):
        put("a", "text", audience=audience)
    with pytest.raises(InvalidInput):
        conditions(None, audience)
