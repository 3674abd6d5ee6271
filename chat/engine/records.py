"""Write the rows of a chat: those committed before the model is called, and its outcome."""

import logging
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import get_language
from pgvector import Vector

from chat.engine.interrupted import interrupted_statement
from chat.gaps.marking import mark_statement
from chat.gaps.reasons import reasons_of
from chat.handover.notices import reopened_notice
from chat.limits.admission import Admission
from chat.models import DEFAULT_BOT, Conversation, Message, ModelCall, Purpose
from chat.models.conversations import title_of
from chat.providers import Completion, Prompt
from chat.spending.calls import call_of, failed_calls
from chat.turns.lease import ConversationLease, lease_duration
from chat.turns.turn import Answer, Question, Turn
from common.sql.rows import FromNow, Statement, WithIds, write_together
from contexts import traces
from contexts.errors import TraceNotWritten
from contexts.items import Context
from contexts.models import Trace
from contexts.traces import PendingTrace
from events.event import AxiomEvent
from events.models import Event
from events.outbox import new_event
from retrieval.search.questions import Embedding

logger = logging.getLogger(__name__)

MESSAGE_SENT = "message_sent"
SENT_ONCE = "message_sent_once"
"""The constraint of a user's client ids."""


@dataclass(frozen=True, kw_only=True)
class StoredQuestion:
    """The rows of a message that the bot is going to answer."""

    message: Message
    event: Event | None
    notices: list[str]
    """What the customer is told beside the answer."""


@dataclass(frozen=True, kw_only=True)
class WrittenAnswer:
    message: Message
    state: str
    """The conversation's state at the commit: somebody may have asked for a person while the model worked."""


class SentBefore(Exception):
    """A message with this client id was stored meanwhile, by another request."""

    def __init__(self, message: Message) -> None:
        super().__init__(message.pk)
        self.message = message


def write_question(
    question: Question,
    lease: ConversationLease,
    context: Context,
    admission: Admission,
    pending: Sequence[PendingTrace],
    embedding: Embedding | None,
    *,
    frees_connection: bool,
    calls: Sequence[ModelCall] = (),
) -> StoredQuestion | None:
    """Commit the evidence, the user's message with its `embedding`, its event, and `calls` that were made for it.

    Raise TraceNotWritten or SentBefore.

    Return None, with nothing written, if the conversation was taken over or closed meanwhile: the message has to
    wait for its lease anew. `frees_connection` closes the database connection after the commit, which returns it to the
    pool: a chat waits seconds for its model, and other requests can use the connection meanwhile.
    """
    conversation = _conversation(question, lease)
    rows: list[Model | Statement] = [] if conversation.pk else [conversation]
    notice = reopened_notice(conversation) if lease.was_closed else None
    rows += [notice] if notice else []
    event: Event | None = None
    if question.stored_id is None:
        message = message_of(question, conversation, admission, context.id)
        if embedding:
            message.embedding, message.embedding_model = embedding.vector, embedding.model
        event = new_event(sent_event(message, context.id), Event.Source.CHAT)
        event.payload = WithIds(event.payload, message_id=message, conversation_id=conversation)
        rows += [message, event]
    else:
        message = Message(pk=question.stored_id, conversation=conversation)
        rows.append(interrupted_statement(question.stored_id))
        rows.append(_linked(question.stored_id, context.id, embedding))
    if question.open_ids:
        linked = "UPDATE chat_message SET trace_id = %s WHERE id = ANY(%s)"
        rows.append((linked, [context.id, list(question.open_ids)]))
    rows += calls
    if admission.is_degraded:  # from now on the message itself is counted
        rows.append(("DELETE FROM chat_reservation WHERE token = %s", [admission.token]))
    try:
        if not traces.write_traces(pending, *rows, only_if=_still_the_bots(lease)):
            return None
    except TraceNotWritten as error:
        if is_sent_before(error.__cause__):
            raise SentBefore(Message.objects.get(user_id=question.user_id, client_id=question.client_id)) from error
        raise
    if frees_connection:
        transaction.on_commit(connection.close)
    return StoredQuestion(message=message, event=event, notices=[notice.text] if notice else [])


def _linked(message_id: int, context_id: str, embedding: Embedding | None) -> Statement:
    """Return the statement that gives a stored message its trace, and the embedding that it was searched with."""
    if embedding is None:
        return "UPDATE chat_message SET trace_id = %s WHERE id = %s", [context_id, message_id]
    vector = Vector(embedding.vector).to_text()
    return (
        "UPDATE chat_message SET trace_id = %s, embedding = %s::vector, embedding_model = %s WHERE id = %s",
        [context_id, vector, embedding.model, message_id],
    )


def sent_event(message: Message, context_id: str | None = None) -> AxiomEvent:
    """Return the event of a message; without a context where a person answers it."""
    payload = {"conversation_id": message.conversation_id, "message_id": message.pk, "context_id": context_id}
    return AxiomEvent(event_type=MESSAGE_SENT, entity_id=message.user_id, payload=payload)


def message_of(
    question: Question, conversation: Conversation, admission: Admission, context_id: str | None = None
) -> Message:
    return Message(
        conversation=conversation, user_id=question.user_id, role=Message.Role.USER, text=question.message,
        client_id=question.client_id, trace_id=context_id, api_key=question.caller.key, context=question.context,
        count_token=UUID(admission.token) if admission.token else None,
    )  # fmt: skip


def is_sent_before(error: BaseException | None) -> bool:
    """Return whether PostgreSQL refused a message because its client id is stored already."""
    diagnosis = getattr(getattr(error, "__cause__", None), "diag", None)
    return isinstance(error, IntegrityError) and getattr(diagnosis, "constraint_name", None) == SENT_ONCE


def new_conversation(question: Question) -> Conversation:
    return Conversation(
        user_id=question.user_id, bot=question.bot or DEFAULT_BOT, title=title_of(question.message),
        language=get_language() or settings.LANGUAGE_CODE,
    )  # fmt: skip


def _conversation(question: Question, lease: ConversationLease) -> Conversation:
    """Return the message's conversation; a new one has the message's turn from the beginning."""
    if lease.conversation_id is not None:
        return Conversation(pk=lease.conversation_id)
    conversation = new_conversation(question)
    conversation.queue, conversation.lease_until = [lease.token], FromNow(lease_duration())  # type: ignore[assignment]
    return conversation


def _still_the_bots(lease: ConversationLease) -> Statement | None:
    if lease.conversation_id is None:
        return None
    return (
        "UPDATE chat_conversation SET last_message_at = %s, lease_until = clock_timestamp() + %s "
        "WHERE id = %s AND takeovers = %s AND state IN ('bot', 'waiting') RETURNING id",
        [timezone.now(), lease_duration(), lease.conversation_id, lease.takeovers],
    )


def write_answer(turn: Turn, result: Answer, outcome: dict[str, Any]) -> WrittenAnswer | None:
    """Commit the answer with the trace's outcome, and release the lease; raise TraceNotWritten.

    Return None, with no answer written, if a person has taken over, or closed the conversation, or if the turn has
    failed: the locks of the rows decide which came first.
    """
    message = Message(
        conversation_id=turn.conversation_id,
        user_id=turn.question.user_id,
        role=Message.Role.ASSISTANT,
        text=result.response,
        trace_id=result.context_id,
        citations=[citation.to_dict() for citation in result.citations],
        flags=result.flags,
        grounding=result.grounding,
        thread_digest=turn.question.thread.after(result.response) if turn.question.thread else "",
    )
    # The answer tells whether it is one; a question that has none is marked together with it.
    reasons = reasons_of(
        turn.context.evidence, result.citations, result.flags, message.grounding, is_extractive=result.is_extractive
    )
    more: list[Model | Statement] = [message, *([mark_statement(turn.message.pk, reasons)] if reasons else [])]
    more += turn.calls
    state = write_outcome(turn, result.response, result.model, outcome, more=more)
    return WrittenAnswer(message=message, state=state) if state else None


def write_outcome(
    turn: Turn, answer: str, model: str, outcome: dict[str, Any], *, more: Sequence[Model | Statement] = ()
) -> str | None:
    """Commit the outcome, with `more`, and release the lease; return the conversation's state.

    Return None, with nothing written, if a person has taken over, or closed the conversation, or the turn has failed.
    """
    state: str | None = traces.write_outcome(
        turn.context_id, answer=answer, model=model, outcome=outcome, more=more, only_if=turn.lease.answered_statement
    )
    return state


def cut_off(turn: Turn) -> list[ModelCall]:
    """Return the row of a call that gave text and was not ended; its tokens are counted here."""
    config = turn.provider.config
    if config is None or not turn.parts:
        return []
    prompt = Prompt(messages=turn.context.evidence["messages"])
    ended = Completion(model=turn.provider.model, usage=None, finish_reason=None, config=config)
    call = call_of(turn.spender, prompt.purpose, prompt, ended, "".join(turn.parts))
    return [call] if call else []


def write_failure(turn: Turn, code: str) -> bool:
    """Store in the trace that the answer is incomplete, and release the lease; return False if the answer is stored.

    It may be just then, by a thread whose request has ended meanwhile. If PostgreSQL is down, the turn ends with its
    lease, and the trace gets its outcome by `end_interrupted`.
    """
    turn.calls = turn.calls or [*failed_calls(turn.spender, Purpose.ANSWER, turn.provider), *cut_off(turn)]
    calls = [_unsaved(call) for call in turn.calls]
    attempts = [attempt.to_dict() for attempt in turn.provider.attempts]
    outcome = {"latency_ms": turn.elapsed_ms(), "error": code, "attempts": attempts}
    try:
        # The conversation is locked before the trace, as by an answer and by whoever deletes it.
        written = traces.write_outcome(
            turn.context_id, answer="".join(turn.parts), model=turn.provider.model, outcome=outcome, error_code=code,
            more=[turn.lease.release_statement, *calls], only_if=turn.lease.lock_statement,
        )  # fmt: skip
    except TraceNotWritten:
        logger.error("The failure %s of the trace %s could not be noted.", code, turn.context_id)
        return True
    if written is not None or Trace.objects.filter(pk=turn.context_id).exists():
        return written is not None
    write_together(turn.lease.release_statement, *calls)  # it was erased meanwhile; what the calls cost is not
    return True


def _unsaved(call: ModelCall) -> ModelCall:
    """Return a copy of a call's row, which another thread may be writing."""
    call = copy(call)
    call.pk = None
    return call
