"""What the chat does with its own events.

A thumbs-down and an escalation mark the question as not answered; a thumbs-down asks for a person, too. Where the
ticket of a conversation is opened or closed, the user's tickets are read anew.
"""

from collections.abc import Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction

from chat.conversations.kept_values import SUPPORT_HISTORY, erase_values_of
from chat.errors import ConversationConflict, ConversationNotFound
from chat.feedback import FEEDBACK_GIVEN
from chat.gaps.marking import mark, question_of, unmark
from chat.handover.actions import escalate
from chat.handover.steps import CLOSED, ESCALATED, HANDED_BACK
from chat.models import Conversation, Feedback, GapQuestion, Message
from chat.models.reasons import AGENT_GONE, NOT_ANSWERED, PASSED_BACK, THUMBS_DOWN
from events.event import AxiomEvent
from events.handlers import Handler, register_handlers
from events.models import Event
from features.compute import run_function
from features.models import FeatureValue
from features.registry import features
from features.serving import operator_settings
from features.value_writer import write_values

_MARKS_NOTHING = {AGENT_GONE, NOT_ANSWERED, PASSED_BACK, THUMBS_DOWN}
"""Reasons of an escalation that say nothing about an answer, or nothing that a mark of its own does not say: a
thumbs-down can be taken back, and its mark with it."""
_OF_TICKETS = (ESCALATED, HANDED_BACK, CLOSED)

Reason = GapQuestion.Reason


def register() -> None:
    register_handlers(handlers)


def handlers(event: Event) -> Sequence[Handler]:
    if event.event_type == FEEDBACK_GIVEN:
        return [Handler(name="gaps", handle=mark_judged), Handler(name="handover", handle=escalate_judged)]
    found = [Handler(name="gaps", handle=mark_escalated)] if event.event_type == ESCALATED else []
    if event.event_type in _OF_TICKETS and event.payload.get("ticket") and SUPPORT_HISTORY in features:
        found.append(Handler(name=f"feature:{SUPPORT_HISTORY}", handle=compute_history))
    return found


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
        question = question_of(answer)
        escalate(answer.conversation_id, THUMBS_DOWN, message_id=question.pk if question else None)
    except (ConversationConflict, ConversationNotFound):
        return {"escalated": False}
    return {"escalated": True}


def _judged_answer(event: Event) -> Message | None:
    """Return the answer if it is the bot's, and still there."""
    return Message.objects.filter(pk=event.payload.get("message_id"), role=Message.Role.ASSISTANT).first()


def _is_down(answer: Message) -> bool:
    return answer.feedback.filter(value=Feedback.Value.DOWN).exists()


def mark_escalated(event: Event) -> dict[str, Any]:
    """Mark the question that the event names; others of the conversation were answered."""
    asked = Message.objects.filter(
        pk=event.payload.get("message_id"), conversation=event.payload.get("conversation_id"), role=Message.Role.USER
    )
    question = None if event.payload.get("reason") in _MARKS_NOTHING else asked.first()
    if question is not None:
        mark(question.pk, Reason.ESCALATED)
    return {"marked": question is not None}


async def compute_history(event: Event) -> dict[str, Any]:
    """Compute the user's support history with the new ticket, instead of at its next refresh."""
    spec = features[SUPPORT_HISTORY]
    row = (await operator_settings.rows()).get(spec.name, {})
    if not row.get("is_enabled", True):
        return {"computed": False}
    value = await run_function(spec, event.entity_id, AxiomEvent.of_row(event))
    await write_values(
        spec, {event.entity_id: value}, event_timestamp=event.occurred_at, source=FeatureValue.Source.EVENT,
        event_id=event.pk,
    )  # fmt: skip
    conversation = Conversation.objects.filter(pk=event.payload.get("conversation_id"))
    if not await conversation.aexists():  # it was deleted meanwhile, and its ticket with it
        await sync_to_async(erase_values_of)(event)
    return {"computed": True}
