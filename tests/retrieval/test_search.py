"""Search finds by meaning and by word, and says what it could not do."""

from typing import Any

import pytest
from django.db import connection

from common.errors import InvalidInput
from retrieval.errors import EmbedderUnavailable, IndexNotFound
from retrieval.models import Index
from retrieval.search.execute import search_sync

pytestmark = [pytest.mark.django_db, pytest.mark.real_model]


@pytest.fixture(autouse=True)
def documents(put: Any) -> None:
    put("password", "# Reset\n\nTo get a new password, click the link in the email.", {"category": "account"})
    put("billing", "# Pay\n\nInvoices are sent on the first of each month.", {"category": "billing"})
    put("errors", "# Errors\n\nThe code E-4021 means that the project is archived.", {"category": "api"})
    put("chinese", "# 密码\n\n如果忘记密码，请点击链接。", {"category": "account"})


def best(query: str, **options: Any) -> str:
    return search_sync("docs", query, **options).hits[0].document_id


@pytest.mark.parametrize(
    ("query", "document_id"),
    [
        ("I forgot how to log in", "password"),
        ("when do you charge me?", "billing"),
        ("E-4021", "errors"),
        ("what does e-4021 mean", "errors"),
        ("忘记密码", "chinese"),
        ("Invoices", "billing"),
    ],
)
def test_it_finds_by_meaning_and_by_word(query: str, document_id: str) -> None:
    assert best(query) == document_id


def test_a_hit_tells_all_about_itself() -> None:
    hit = search_sync("docs", "new password email link").hits[0]
    assert (hit["content"], hit.title, hit.index, hit.version) == (hit.content, "Reset", "docs", 1)
    assert hit.metadata == {"category": "account"}
    assert hit.semantic_rank == hit.lexical_rank == 1
    assert hit.score == pytest.approx((hit.semantic_score or 0) + 0.75 * (hit.lexical_score or 0), abs=1e-5)
    assert dict(hit)["document_id"] == "password"
    with pytest.raises(KeyError):
        hit["nothing"]


@pytest.mark.parametrize(
    "query", ["the of and", "?!.", "'; DROP TABLE x; --", "a & b | !c <-> d", "🙂", "x" * 8000, "%s %(q)s"]
)
def test_any_question_is_answered(query: str) -> None:
    assert len(search_sync("docs", query).hits) == 4


def test_bad_questions_are_refused() -> None:
    for query, top_k in [("", 5), ("  ", 5), ("a\x00", 5), ("x" * 8001, 5), ("a", 0), ("a", 201), ("a", True)]:
        with pytest.raises(InvalidInput):
            search_sync("docs", query, top_k)
    with pytest.raises(IndexNotFound, match="no index 'nothing'"):
        search_sync("nothing", "a")


def test_with_the_embedder_down_words_decide_and_it_says_so(embedder: Any) -> None:
    embedder.take_over()
    embedder.failure = EmbedderUnavailable
    record = search_sync("docs", "project archived")
    assert [hit.document_id for hit in record.hits] == ["errors"]
    assert record.flags == ("semantic_unavailable", "short")
    assert record.hits[0].semantic_score is None


def test_it_is_one_look_at_the_index_and_one_statement(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        search_sync("docs", "password")


def test_only_a_search_without_filters_keeps_its_plan() -> None:
    def kept() -> int:
        generation = Index.objects.get(name="docs").generation_id
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s",
                [f"%WITH query%generation_id = {generation} %"],
            )
            return int(cursor.fetchone()[0])

    for _ in range(3):
        search_sync("docs", "invoices", filters={"category": "billing"})
    assert kept() == 0
    for _ in range(3):
        search_sync("docs", "invoices", audience=["premium"])
    assert kept() == 1
