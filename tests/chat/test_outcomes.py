"""A trace has the outcome that was committed first, and what its calls cost counts once, however a request ends."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.utils import timezone

from chat.conversations.management import delete_conversation
from chat.engine.answering import run
from chat.engine.beginning import begin
from chat.engine.records import write_answer, write_failure
from chat.models import Conversation, Message, ModelCall
from chat.spending.sums import spent_since
from chat.turns.turn import Answer, Question, Turn
from common.background import finish_spawned
from contexts.declaration import context
from contexts.items import ContextItem, Escalation, escalate
from contexts.models import Trace
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db(transaction=True)
COST = Decimal("0.00009")
"""The cost of each answer of the model's server, by the prices below."""


@pytest.fixture(autouse=True)
def priced(settings: Any) -> None:
    settings.FABRA_MODEL_PRICES = {"gpt-4o-mini": [1, 2]}


def begun() -> Turn:
    turn = async_to_sync(begin)(Question(user_id="ana", message="One?"))
    assert isinstance(turn, Turn)
    return turn


def answer_of(turn: Turn) -> Answer:
    """Give the turn what it has once its model has answered."""
    turn.calls = [ModelCall(purpose="answer", provider="p", model="m", kind="exact", cost_usd=COST, user_id="ana")]
    return Answer(
        response="Click.", context_used="", context_id=turn.context_id, conversation_id=turn.conversation_id,
        citations=[], usage={}, model="m", is_extractive=False, flags=[], freshness=None,
    )  # fmt: skip


@contextmanager
def locked(conversation_id: int) -> Iterator[threading.Event]:
    """Hold the conversation's row until the event is set, or the block ends."""
    is_held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Conversation.objects.select_for_update().get(pk=conversation_id)
                is_held.set()
                go_on.wait(120)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_held.wait(60)
    try:
        yield go_on
    finally:
        go_on.set()
        thread.join()


def _wait_for_lock(count: int = 1) -> None:
    """Wait until so many statements wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    try:
        with connection.cursor() as cursor:
            while cursor.execute(waiting).fetchone()[0] < count:
                threading.Event().wait(0.02)
    finally:
        connection.close()


def test_a_client_that_leaves_while_the_answer_is_stored_leaves_it_an_answer(small: ModelServer) -> None:
    turn = begun()

    async def leave(go_on: threading.Event) -> None:
        task = asyncio.create_task(_whole(turn))
        await asyncio.to_thread(_wait_for_lock)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        go_on.set()
        await finish_spawned()

    with locked(turn.conversation_id) as go_on:
        async_to_sync(leave)(go_on)
    trace = Trace.objects.get()
    assert (trace.state, trace.error_code, trace.answer) == ("answered", "", small.text)
    assert Message.objects.get(role="assistant").trace_id == trace.pk
    assert ModelCall.objects.count() == 1
    assert Conversation.objects.get().queue == []


async def _whole(turn: Turn) -> list[Any]:
    return [piece async for piece in run(turn, is_streamed=True)]


@pytest.mark.parametrize("is_answer_first", [True, False])
def test_of_an_answer_and_a_failure_at_once_the_first_counts(small: ModelServer, is_answer_first: bool) -> None:
    turn = begun()
    result, told = answer_of(turn), dict[str, Any]()

    def end(name: str, write: Callable[[], Any]) -> threading.Thread:
        def work() -> None:
            try:
                told[name] = write()
            finally:
                connection.close()

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    ends = {
        "answer": lambda: write_answer(turn, result, {}),
        "failure": lambda: write_failure(turn, "client_disconnected"),
    }
    with locked(turn.conversation_id):
        threads = []
        for name in sorted(ends, reverse=not is_answer_first):
            threads.append(end(name, ends[name]))
            _wait_for_lock(len(threads))
    for thread in threads:
        thread.join()
    is_answered = Trace.objects.get().state == "answered"
    assert Message.objects.filter(role="assistant").count() == (1 if is_answered else 0)
    assert (told["answer"] is not None, told["failure"]) == (is_answered, not is_answered)
    assert ModelCall.objects.count() == 1
    assert Conversation.objects.get().queue == []


def test_what_a_call_cost_stays_where_its_conversation_is_deleted_meanwhile(small: ModelServer) -> None:
    today = timezone.now().astimezone(UTC).date()
    turn = begun()
    result = answer_of(turn)
    delete_conversation(Conversation.objects.get())
    assert write_answer(turn, result, {}) is None
    assert write_failure(turn, "person_took_over")
    assert not Trace.objects.exists()
    assert spent_since(today) == COST


def test_what_fails_after_the_answer_is_stored_fails_neither_it_nor_its_limit(
    small: ModelServer, use_context: Callable[[Any], None], ask: Any, settings: Any
) -> None:
    @context(name="careful", max_tokens=1000)
    async def careful(user_id: str, query: str) -> list[ContextItem | Escalation]:
        return [ContextItem("Be kind.", required=True), escalate("It is a person's to handle.")]

    use_context(careful)
    settings.FABRA_RATE_LIMIT_DEFAULT = 5
    with conversations_deleted_once_a_person_is_asked():
        response = ask("Cancel my contract", user_id="ana")
    assert (response.status_code, response.json()["response"]) == (200, small.text)
    assert not Conversation.objects.exists()
    trace = Trace.objects.get()
    assert (trace.state, trace.error_code) == ("answered", "")
    assert ModelCall.objects.count() == 1
    assert ask("Again", user_id="ana").headers["X-RateLimit-Remaining"] == "3"


@contextmanager
def conversations_deleted_once_a_person_is_asked() -> Iterator[None]:
    _execute(
        "CREATE FUNCTION vanish() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        "  DELETE FROM chat_gapquestion; DELETE FROM chat_ticket; DELETE FROM chat_message;"
        "  DELETE FROM chat_conversation; RETURN NULL;"
        "END $$;"
        "CREATE CONSTRAINT TRIGGER vanish AFTER INSERT ON chat_message DEFERRABLE INITIALLY DEFERRED"
        "  FOR EACH ROW WHEN (NEW.role = 'notice') EXECUTE FUNCTION vanish()"
    )
    try:
        yield
    finally:
        _execute("DROP FUNCTION vanish CASCADE")


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_failed_answer_is_given_back_and_one_outcome_stays(small: ModelServer, ask: Any, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 5
    small.behaviour = "500"
    assert ask("One?", user_id="ana").status_code == 502
    assert Trace.objects.get().error_code == "model_failed"
    small.behaviour = "answer"
    assert ask("Two?", user_id="ana").headers["X-RateLimit-Remaining"] == "4"
