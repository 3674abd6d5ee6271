"""A context's searches find what the signed-in user may read, and a change of that holds from the next question on."""

import logging
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core import checks

from chat.checks import check_audiences
from contexts.declaration import context
from contexts.items import ContextItem
from contexts.store import FeatureStore
from retrieval.indexing.documents import index_document
from retrieval.retrievers.declaration import retriever
from tests.factories import CustomerFactory

pytestmark = pytest.mark.django_db
store = FeatureStore()


def of_region(user: User) -> list[str]:
    return [f"region {user.last_name}"]


def failing(user: User) -> list[str]:
    raise LookupError("no region")


@pytest.fixture
def found(settings: Any, use_context: Any, ask: Any) -> Any:
    """Return a function that asks as a user, and gives the ids of the documents that the context found."""
    settings.DEBUG = True
    index_document("docs", "open", "The price for all of you.")
    index_document("docs", "gold", "The price for gold.", audience=["gold"])
    index_document("docs", "north", "The price in the north.", audience=["region north"])

    def ask_as(user_id: str, search: Any = lambda query: store.search("docs", query)) -> set[str]:
        @context(name="prices", max_tokens=1000)
        async def prices(user_id: str, query: str) -> list[ContextItem]:
            return [ContextItem(hit.content, source_id=f"chunk:{hit.chunk_id}") for hit in await search(query)]

        use_context(prices)
        body = ask("What is the price?", user_id=user_id).json()
        return {citation["document_id"] for citation in body["citations"]}

    return ask_as


def test_a_user_finds_what_is_for_their_groups_from_the_next_question_on(found: Any) -> None:
    user, gold = User.objects.create(username="ana"), Group.objects.create(name="gold")
    assert found("ana") == {"open"}
    user.groups.add(gold)
    assert found("ana") == {"open", "gold"}
    assert found("ben") == {"open"}
    user.groups.clear()
    assert found("ana") == {"open"}
    user.groups.add(gold)
    User.objects.update(is_active=False)
    assert found("ana") == {"open"}


def test_a_team_names_further_audiences_and_a_function_that_fails_takes_nothing_away(
    found: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    User.objects.create(username="ana", last_name="north").groups.add(Group.objects.create(name="gold"))
    settings.FABRA_AUDIENCES = f"{__name__}.of_region"
    assert found("ana") == {"open", "gold", "north"}
    settings.FABRA_AUDIENCES = f"{__name__}.failing"
    with caplog.at_level(logging.ERROR):
        assert found("ana") == {"open", "gold"}
    assert "FABRA_AUDIENCES failed" in caplog.text


def test_an_audience_that_a_search_names_is_for_that_alone(found: Any) -> None:
    User.objects.create(username="ana").groups.add(Group.objects.create(name="gold"))
    assert found("ana", lambda query: store.search("docs", query, audience=[])) == {"open"}
    assert found("ana", lambda query: store.search("docs", query, audience=["region north"])) == {"open", "north"}


def test_the_sample_bot_finds_what_is_for_the_plan_and_for_the_groups_of_who_asks(settings: Any, ask: Any) -> None:
    settings.DEBUG = True
    User.objects.create(username="ana").groups.add(Group.objects.create(name="staff"))
    CustomerFactory(user_id="ana", tier="premium")
    for name in ("staff", "premium", "free"):
        index_document("knowledge_base", name, f"The price for {name}.", audience=[name])

    def found(user_id: str) -> set[str]:
        return {citation["document_id"] for citation in ask("What is the price?", user_id=user_id).json()["citations"]}

    assert found("ana") == {"staff", "premium"}
    assert found("ben") == {"free"}


def test_a_group_that_is_called_like_everyone_opens_nothing(found: Any) -> None:
    User.objects.create(username="ana").groups.add(Group.objects.create(name="*"), Group.objects.create(name="g" * 150))
    assert found("ana") == {"open"}


@pytest.mark.parametrize("is_bound", [True, False])
def test_a_cached_retriever_keeps_users_apart(found: Any, is_bound: bool) -> None:
    @retriever(name="prices", index="docs" if is_bound else None, cache_ttl="5m")
    async def search_prices(query: str) -> Any:
        return None if is_bound else await store.search("docs", query)

    User.objects.create(username="ana").groups.add(Group.objects.create(name="gold"))
    for _ in range(2):
        assert found("ben", search_prices) == {"open"}
        assert found("ana", search_prices) == {"open", "gold"}


@pytest.mark.parametrize("path", ["nothing.of_it", f"{__name__}.store"])
def test_a_path_that_leads_to_no_function_is_a_system_check(settings: Any, path: str) -> None:
    settings.FABRA_AUDIENCES = path
    (message,) = check_audiences()
    assert (message.id, message.level) == ("chat.E002", checks.ERROR) and path in message.msg
    settings.FABRA_AUDIENCES = f"{__name__}.of_region"
    assert check_audiences() == []
