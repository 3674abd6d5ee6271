"""Answers of the bot after which a person is asked, or which a person made superfluous."""

import logging
from dataclasses import replace

from asgiref.sync import sync_to_async
from django.db import DatabaseError

from chat.answer_flags import NOT_KNOWN, SMALL_TALK
from chat.engine.records import write_failure, write_outcome
from chat.errors import ConversationConflict, ConversationNotFound, HandoverOff
from chat.handover import actions, notices
from chat.handover.steps import locked
from chat.models import Conversation, HandoverSettings, Message, reasons
from chat.turns.turn import Answer, Turn

logger = logging.getLogger(__name__)

PERSON_TOOK_OVER, CLOSED_MEANWHILE = "person_took_over", "conversation_closed"
"""The error codes of a trace whose answer was dropped."""


def may_escalate(result: Answer, turn: Turn) -> bool:
    """Return whether it is worth a query whether a person is asked after this answer."""
    has_reason = turn.context.escalation is not None or NOT_KNOWN in result.flags
    return has_reason and result.state == Conversation.State.BOT


def offer_of(turn: Turn) -> str:
    """Return what "I do not know" offers; nothing where a person is asked for already, or will be by this answer."""
    handover = HandoverSettings.load()
    is_next = turn.context.escalation is not None or _are_not_known(turn.conversation_id, last=1)
    is_asked = is_next and handover.allows(_reason_of(turn))
    is_with_bot = _state_of(turn.conversation_id) == Conversation.State.BOT
    return handover.person_offer if is_with_bot and not is_asked else ""


def escalated(result: Answer, turn: Turn) -> Answer:
    """Ask for a person if there is a reason, and return the answer with what the customer is told.

    The answer is stored already, so a failure to escalate does not fail it.
    """
    reason = _reason_of(turn)
    try:
        is_asked = turn.context.escalation is not None or _are_not_known(turn.conversation_id, last=2)
        if not is_asked or not HandoverSettings.load().allows(reason):
            return result
        notice = _notice_of(turn, reason)
        state = _state_of(turn.conversation_id) or result.state
    except (DatabaseError, ConversationConflict, ConversationNotFound) as error:
        logger.warning("Conversation %d was not escalated: %s", turn.conversation_id, type(error).__name__)
        return result
    return replace(result, state=state, notices=[*result.notices, *([notice.text] if notice else [])])


async def drop(turn: Turn) -> Answer:
    """Return the answer to a message that is a person's now, or no one's: what the bot had said is not kept.

    Raise ConversationNotFound if the conversation was deleted.
    """
    return await sync_to_async(_drop)(turn)


def _drop(turn: Turn) -> Answer:
    state = _state_of(turn.conversation_id)
    if state is None:
        raise ConversationNotFound
    code = CLOSED_MEANWHILE if state == Conversation.State.CLOSED else PERSON_TOOK_OVER
    logger.info("The answer of the trace %s is dropped: %s.", turn.context_id, code)
    write_failure(turn, code)
    told = _closing_lines(turn.conversation_id) if state == Conversation.State.CLOSED else []
    return Answer.without_model(
        context_id=turn.context_id, conversation_id=turn.conversation_id, message_id=turn.message.pk, state=state,
        notices=[*turn.notices, *told], is_dropped=True, conversation_was_closed=turn.lease.was_closed,
    )  # fmt: skip


async def ask_for_person(turn: Turn) -> Answer:
    """End a turn whose context holds nothing but the wish for a person."""
    outcome = {"latency_ms": turn.elapsed_ms(), "escalated": True}
    if await sync_to_async(write_outcome)(turn, "", "", outcome) is None:
        return await drop(turn)
    return await sync_to_async(_asked_for_person)(turn)


def _asked_for_person(turn: Turn) -> Answer:
    """Ask for the person that the context's function wants, and return the line that says so as the answer."""
    assert turn.context.escalation is not None
    try:
        notice = _notice_of(turn, turn.context.escalation.reason)
        notice = notice or actions.ask_again(turn.conversation_id)
        state = _state_of(turn.conversation_id) or Conversation.State.WAITING
    except HandoverOff:
        with locked(turn.conversation_id) as conversation:
            notice, state = notices.notify_no_person(conversation), conversation.state
    return Answer.without_model(
        response=notice.text, flags=notice.flags, context_id=turn.context_id, conversation_id=turn.conversation_id,
        message_id=notice.pk, state=state, notices=turn.notices,
        conversation_was_closed=turn.lease.was_closed,
    )  # fmt: skip


def _reason_of(turn: Turn) -> str:
    return turn.context.escalation.reason if turn.context.escalation else reasons.NOT_KNOWN_TWICE


def _state_of(conversation_id: int) -> str | None:
    return Conversation.objects.filter(pk=conversation_id).values_list("state", flat=True).first()


def _closing_lines(conversation_id: int) -> list[str]:
    said = Message.objects.filter(conversation=conversation_id, role=Message.Role.NOTICE, flags=[notices.CLOSED])
    return list(said.order_by("-pk").values_list("text", flat=True)[:1])


def _notice_of(turn: Turn, reason: str) -> Message | None:
    """Escalate for the turn's message, and return the line that says so; None if a person was asked before."""
    said = Message.objects.filter(conversation=turn.conversation_id, role=Message.Role.NOTICE)
    last = said.order_by("-pk").values_list("pk", flat=True).first() or 0
    actions.escalate(turn.conversation_id, reason, message_id=turn.message.pk)
    return said.filter(pk__gt=last).order_by("pk").first()


def _are_not_known(conversation_id: int, *, last: int) -> bool:
    """Return whether the last answers know nothing, with nothing but small talk and questions between them.

    What a person has said, and the line that they came or went, begins anew.
    """
    said = Message.objects.filter(conversation=conversation_id).exclude(role=Message.Role.USER)
    found = said.exclude(flags__contains=[SMALL_TALK]).order_by("-pk").values_list("flags", flat=True)[:last]
    return len(found) == last and all(NOT_KNOWN in flags for flags in found)
