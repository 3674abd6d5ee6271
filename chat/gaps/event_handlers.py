"""What the chat does with its own events: a thumbs-down and an escalation mark the question as not answered."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from chat.feedback import FEEDBACK_GIVEN
from chat.gaps.marking import last_answered_question, mark, question_of, unmark
from chat.models import Feedback, GapQuestion, Message
from events.handlers import Handler, register_handlers
from events.models import Event

ESCALATED = "conversation_escalated"
_NOT_OF_THE_BOT = {"agent_gone"}
"""Reasons of an escalation that say nothing about the bot's answers."""

Reason = GapQuestion.Reason


def register() -> None:
    register_handlers(handlers)


def handlers(event: Event) -> Sequence[Handler]:
    if event.event_type == FEEDBACK_GIVEN:
        return [Handler(name="gaps", handle=mark_judged)]
    if event.event_type == ESCALATED:
        return [Handler(name="gaps", handle=mark_escalated)]
    return []


def mark_judged(event: Event) -> dict[str, Any]:
    """Mark the question of an answer that has a thumbs-down now, whatever it had when the event was written."""
    answer = Message.objects.filter(pk=event.payload.get("message_id"), role=Message.Role.ASSISTANT).first()
    question = question_of(answer) if answer else None
    if answer is None or question is None:
        return {"marked": False}
    with transaction.atomic():
        is_down = answer.feedback.filter(value=Feedback.Value.DOWN).exists()
        (mark if is_down else unmark)(question.pk, Reason.THUMBED_DOWN)
    return {"marked": is_down}


def mark_escalated(event: Event) -> dict[str, Any]:
    if event.payload.get("reason") in _NOT_OF_THE_BOT:
        return {"marked": False}
    question = last_answered_question(event.payload.get("conversation_id") or 0)
    if question is not None:
        mark(question.pk, Reason.ESCALATED)
    return {"marked": question is not None}
