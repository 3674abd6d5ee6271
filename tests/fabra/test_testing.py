"""The fixtures for tests of definitions: a moment that a context is assembled at, and asynchronous tests."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from fabra.context import ContextItem, context
from fabra.core import FeatureStore, entity, feature
from fabra.testing import ask, assemble, index_documents, model_says, search, set_features, words_embedder

__all__ = ["ask", "assemble", "index_documents", "model_says", "search", "set_features", "words_embedder"]

store = FeatureStore()


@pytest.fixture
def desk() -> Callable[..., Any]:
    """Return a context that tells a user's plan, the day, and what the index says."""

    @entity(store, name="Holder")
    class Holder:
        user_id: str

    @feature(entity=Holder, refresh="1h", ttl="1d", default_value="basic")
    def plan(user_id: str) -> str:
        raise LookupError("the plans are kept elsewhere")

    @context(store, name="desk")
    async def told(user_id: str, query: str) -> list[ContextItem]:
        hits = await store.search("help", query)
        said = [await store.get_feature(plan, user_id), f"{datetime.now(UTC):%Y-%m-%d}", *(hit.content for hit in hits)]
        return [ContextItem(" ".join(said), required=True)]

    return told


@pytest.mark.django_db
def test_a_context_is_assembled_at_a_moment(desk: Any, set_features: Any, assemble: Any, index_documents: Any) -> None:
    index_documents("help", {"hours": "Open from 9 to 17."})
    now = datetime.now(UTC)
    set_features("ana", plan="gold", at=now - timedelta(hours=20))
    assert assemble(desk, "ana", "open").content.startswith("gold")
    later = assemble(desk, "ana", "open", at=now + timedelta(days=9))
    assert later.content == f"basic {now + timedelta(days=9):%Y-%m-%d} Open from 9 to 17."
    assert assemble(desk, "ana", "open").content.startswith("gold")
    with pytest.raises(ValueError, match="needs a time zone"):
        assemble(desk, "ana", "open", at=datetime(2030, 1, 1))  # noqa: DTZ001


@pytest.mark.django_db
def test_a_context_finds_what_the_groups_of_its_user_may_read(desk: Any, assemble: Any, index_documents: Any) -> None:
    index_documents("help", {"prices": {"text": "The price list.", "audience": ["staff"]}})
    User.objects.create(username="ana").groups.add(Group.objects.create(name="staff"))
    assert "price list" in assemble(desk, "ana", "price").content
    assert "price list" not in assemble(desk, "ben", "price").content
    assert "price list" not in assemble(desk, "ana", "price", audience=[]).content
    assert "price list" in assemble(desk, "ben", "price", audience=["staff"]).content


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.django_db(transaction=True)
async def test_an_asynchronous_test_awaits_them(
    desk: Any, set_features: Any, assemble: Any, index_documents: Any, search: Any, model_says: Any, ask: Any
) -> None:
    await index_documents("help", {"hours": "Open from 9 to 17."})
    await set_features("ana", plan="gold")
    assert (await assemble(desk, "ana", "open")).content.startswith("gold")
    assert [hit.document_id for hit in await search("help", "open")] == ["hours"]
    await index_documents("knowledge_base", {"hours": "Open from 9 to 17."})
    model_says("At nine.")
    assert (await ask("When are you open?", user_id="ana"))["response"] == "At nine."
