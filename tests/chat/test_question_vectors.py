"""The vector of a question is kept with its message, and a follow-up's search has it without model and Redis."""

from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.conversations.history import read_history
from chat.engine.unanswered import answer_last
from chat.models import Conversation, Message
from chat.turns.turn import Question
from contexts.declaration import context
from contexts.items import ContextItem
from contexts.models import TraceBody
from contexts.store import FeatureStore
from retrieval.errors import EmbedderUnavailable
from retrieval.search.history import remembered_vector
from retrieval.search.questions import EarlierQuestion
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db
Items = list[ContextItem]
FIRST, SECOND = "How do I reset my password?", "How long is the link in the email valid?"


@pytest.fixture
def bot(embedder: Any, bot: None) -> None:
    """The sample bot, with an embedder that notes what it embeds."""


@pytest.fixture
def told(model: ModelServer, ask: Any) -> int:
    """Return a conversation in which a first question was answered."""
    return int(ask(FIRST).json()["conversation_id"])


def vectors() -> dict[str, tuple[str, int]]:
    return {
        message.text: (message.embedding_model, len(message.embedding))
        for message in Message.objects.filter(role=Message.Role.USER).exclude(embedding=None)
    }


def test_each_question_is_kept_with_its_vector_and_the_models_name(bot: None, told: int, ask: Any) -> None:
    ask(SECOND, conversation_id=told)
    assert vectors() == {FIRST: ("hashing-256", 256), SECOND: ("hashing-256", 256)}
    assert not Message.objects.filter(role=Message.Role.ASSISTANT).exclude(embedding=None).exists()


def test_a_follow_up_runs_the_model_for_itself_alone(bot: None, told: int, ask: Any, embedder: Any) -> None:
    remembered_vector.cache_clear()  # as another process would find it
    ask(SECOND, conversation_id=told)
    assert embedder.questions == [FIRST, SECOND]


@pytest.mark.usefixtures("redis_down")
def test_nor_does_it_need_redis(bot: None, told: int, ask: Any, embedder: Any) -> None:
    remembered_vector.cache_clear()
    assert ask(SECOND, conversation_id=told).status_code == 200
    assert embedder.questions == [FIRST, SECOND]


def test_a_result_from_the_retrievers_cache_brings_its_vector(bot: None, told: int, ask: Any, embedder: Any) -> None:
    ask(FIRST)  # a new conversation; the search comes from the cache
    assert embedder.questions == [FIRST]
    first, second = Message.objects.filter(text=FIRST).order_by("id")
    assert first.embedding is not None
    assert second.embedding == first.embedding


def test_a_message_that_the_bot_answers_after_a_person_has_one_too(bot: None, told: int) -> None:
    Message.objects.create(conversation_id=told, user_id="user_123", role=Message.Role.USER, text=SECOND)
    Conversation.objects.filter(pk=told).update(unanswered_since=timezone.now())
    assert async_to_sync(answer_last)(told)
    assert list(vectors()) == [FIRST, SECOND]


async def read(conversation_id: int) -> tuple[EarlierQuestion, ...]:
    return (await read_history(Question(user_id="user_123", message="And?", conversation_id=conversation_id))).questions


def test_the_history_gives_the_questions_with_their_vectors(bot: None, told: int) -> None:
    (question,) = async_to_sync(read)(told)
    assert question == EarlierQuestion(FIRST)
    assert question.embedding is not None
    assert question.embedding.model == "hashing-256"
    assert np.linalg.norm(question.embedding.vector) == pytest.approx(1)


def test_a_vector_of_another_model_is_not_used(bot: None, told: int, ask: Any, embedder: Any) -> None:
    Message.objects.filter(text=FIRST).update(embedding_model="another")
    remembered_vector.cache_clear()
    assert ask(SECOND, conversation_id=told).status_code == 200
    assert embedder.questions == [FIRST, FIRST, SECOND]


def test_a_message_whose_context_did_not_search_for_it_has_no_vector(
    bot: None, model: ModelServer, ask: Any, use_context: Any
) -> None:
    store = FeatureStore()

    @context(name="other", max_tokens=1000)
    async def other(user_id: str, query: str) -> Items:
        await store.search("knowledge_base", "something else")
        return [ContextItem("Be kind.", required=True)]

    use_context(other)
    ask(FIRST)
    assert vectors() == {}


def test_a_context_inside_another_searched_too(bot: None, model: ModelServer, ask: Any, use_context: Any) -> None:
    store = FeatureStore()

    @context(name="inner", max_tokens=1000)
    async def inner(user_id: str, query: str) -> Items:
        await store.search("knowledge_base", f" {query}")
        return [ContextItem("Be kind.", required=True)]

    @context(name="outer", max_tokens=1000)
    async def outer(user_id: str, query: str) -> Items:
        return [ContextItem((await inner(user_id, query)).content, required=True)]

    use_context(outer)
    ask(FIRST)
    assert list(vectors()) == [FIRST]


def test_a_search_by_words_alone_keeps_no_vector(bot: None, model: ModelServer, ask: Any, embedder: Any) -> None:
    embedder.question_failure = EmbedderUnavailable
    assert ask(FIRST).json()["flags"] == ["semantic_unavailable"]
    assert vectors() == {}


def test_the_vector_is_written_with_the_message(bot: None, model: ModelServer, ask: Any) -> None:
    ask(FIRST)
    with CaptureQueriesContext(connection) as queries:
        ask(SECOND)
    written = [query["sql"] for query in queries.captured_queries if '"chat_message"' in query["sql"]]
    assert sum("INSERT INTO" in sql for sql in written) == 2  # the question's, and the answer's
    assert not any(sql.startswith("UPDATE") for sql in written)


def test_the_trace_holds_no_vector(bot: None, told: int) -> None:
    assert "embedding" not in TraceBody.objects.get().text.replace("embedding_model", "")
