"""Write the rows of a chat: those committed before the model is called, and its outcome."""

import logging
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from chat.admission import Admission
from chat.models import Conversation, Message
from chat.models.conversations import title_of
from chat.turns import Answer, Question, Turn
from common.sql.rows import Statement
from contexts import traces
from contexts.errors import TraceNotWritten
from contexts.items import Context
from contexts.traces import PendingTrace
from events.event import AxiomEvent
from events.models import Event
from events.outbox import new_event

logger = logging.getLogger(__name__)

MESSAGE_SENT = "message_sent"


def write_question(
    question: Question,
    context: Context,
    admission: Admission,
    pending: Sequence[PendingTrace],
    *,
    frees_connection: bool,
) -> tuple[Message, Event]:
    """Commit the evidence, the user's message and its event together; raise TraceNotWritten.

    `frees_connection` closes the database connection after the commit, which returns it to the pool: a chat waits
    seconds for its model, and other requests can use the connection meanwhile.
    """
    conversation = _known_conversation(question) or Conversation(
        user_id=question.user_id, title=title_of(question.message)
    )
    message = Message(
        conversation=conversation, user_id=question.user_id, role=Message.Role.USER, text=question.message,
        trace_id=context.id,
    )  # fmt: skip
    payload = {"context_id": context.id}
    event = new_event(
        AxiomEvent(event_type=MESSAGE_SENT, entity_id=question.user_id, payload=payload), Event.Source.CHAT
    )
    rows: list[Model | Statement] = [] if conversation.pk else [conversation]
    rows += [message, event]
    if admission.is_degraded:  # from now on the message itself is counted
        rows.append(("DELETE FROM chat_reservation WHERE token = %s", [admission.token]))
    traces.write_traces(pending, *rows)
    if frees_connection:
        transaction.on_commit(connection.close)
    return message, event


def _known_conversation(question: Question) -> Conversation | None:
    """Return the user's conversation that the question names, after making it their latest one; otherwise None."""
    if question.conversation_id is None:
        return None
    known = Conversation.objects.filter(pk=question.conversation_id, user_id=question.user_id)
    return Conversation(pk=question.conversation_id) if known.update(last_message_at=timezone.now()) else None


def write_answer(turn: Turn, result: Answer, outcome: dict[str, Any]) -> Message:
    """Commit the answer with the trace's outcome, and return its message; raise TraceNotWritten."""
    message = Message(
        conversation_id=turn.conversation_id,
        user_id=turn.question.user_id,
        role=Message.Role.ASSISTANT,
        text=result.response,
        trace_id=result.context_id,
        citations=[citation.to_dict() for citation in result.citations],
        flags=result.flags,
        grounding=result.grounding,
    )
    traces.write_outcome(result.context_id, answer=result.response, model=result.model, outcome=outcome, more=[message])
    return message


def write_failure(turn: Turn, code: str) -> None:
    """Store in the trace that the answer is incomplete; if PostgreSQL is down, the trace stays `assembled`."""
    outcome = {"latency_ms": turn.elapsed_ms(), "error": code}
    try:
        traces.write_outcome(
            turn.context_id, answer="".join(turn.parts), model=turn.provider.model, outcome=outcome, error_code=code
        )
    except TraceNotWritten:
        logger.error("The failure %s of the trace %s could not be noted.", code, turn.context_id)
