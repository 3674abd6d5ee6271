"""What the chat does with its own events.

A thumbs-down and an escalation mark the question as not answered; a thumbs-down asks for a person, too.
"""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from chat.errors import ConversationConflict, ConversationNotFound
from chat.feedback import FEEDBACK_GIVEN
from chat.gaps.marking import last_answered_question, mark, question_of, unmark
from chat.handover.actions import escalate
from chat.handover.reasons import AGENT_GONE, PASSED_BACK, THUMBS_DOWN
from chat.handover.steps import ESCALATED
from chat.models import Feedback, GapQuestion, Message
from events.handlers import Handler, register_handlers
from events.models import Event

_NOT_OF_THE_BOT = {AGENT_GONE, PASSED_BACK}
"""Reasons of an escalation that say nothing about the bot's answers."""

Reason = GapQuestion.Reason


def register() -> None:
    register_handlers(handlers)


def handlers(event: Event) -> Sequence[Handler]:
    if event.event_type == FEEDBACK_GIVEN:
        return [Handler(name="gaps", handle=mark_judged), Handler(name="handover", handle=escalate_judged)]
    if event.event_type == ESCALATED:
        return [Handler(name="gaps", handle=mark_escalated)]
    return []


def mark_judged(event: Event) -> dict[str, Any]:
    """Mark the question of an answer that has a thumbs-down now, whatever it had when the event was written."""
    answer = _judged_answer(event)
    question = question_of(answer) if answer else None
    if answer is None or question is None:
        return {"marked": False}
    with transaction.atomic():
        is_down = _is_down(answer)
        (mark if is_down else unmark)(question.pk, Reason.THUMBED_DOWN)
    return {"marked": is_down}


def escalate_judged(event: Event) -> dict[str, Any]:
    """Ask for a person where an answer of the bot got a thumbs-down and has it still.

    A comment that is added to a thumbs-down later does not ask again, and a closed conversation stays closed.
    """
    answer = _judged_answer(event)
    is_news = event.payload.get("value") == Feedback.Value.DOWN != event.payload.get("previous")
    if answer is None or not is_news or not _is_down(answer):
        return {"escalated": False}
    try:
        escalate(answer.conversation_id, THUMBS_DOWN)
    except (ConversationConflict, ConversationNotFound):
        return {"escalated": False}
    return {"escalated": True}


def _judged_answer(event: Event) -> Message | None:
    """Return the answer if it is the bot's, and still there."""
    return Message.objects.filter(pk=event.payload.get("message_id"), role=Message.Role.ASSISTANT).first()


def _is_down(answer: Message) -> bool:
    return answer.feedback.filter(value=Feedback.Value.DOWN).exists()


def mark_escalated(event: Event) -> dict[str, Any]:
    if event.payload.get("reason") in _NOT_OF_THE_BOT:
        return {"marked": False}
    question = last_answered_question(event.payload.get("conversation_id") or 0)
    if question is not None:
        mark(question.pk, Reason.ESCALATED)
    return {"marked": question is not None}
