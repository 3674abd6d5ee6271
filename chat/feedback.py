"""Keep what a user thinks of an answer, and tell the rest of the system."""

from django.db import transaction
from django.utils import timezone

from chat.models import Feedback, Message
from chat.models.feedback import COMMENT_MAX_CHARS
from common.errors import InvalidInput, NotFound
from common.validation import check_text
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event

FEEDBACK_GIVEN = "feedback_given"
ANSWERS = (Message.Role.ASSISTANT, Message.Role.AGENT)
"""The roles of the messages that can be judged."""


def give_feedback(
    message_id: int, user_id: str, value: str | None, comment: str = "", bot: str = ""
) -> Feedback | None:
    """Replace the user's feedback for an answer in a conversation of theirs; None as the value removes it.

    The event `feedback_given` is written with it, unless nothing has changed. Raise NotFound if it is no answer in
    one of the user's conversations, with the bot if one is named, InvalidInput for a comment that is too long.
    """
    if len(check_text(comment, "comment")) > COMMENT_MAX_CHARS:
        raise InvalidInput(f"comment must have at most {COMMENT_MAX_CHARS} characters.")
    with transaction.atomic():
        # 1. Lock the answer, so that two requests at once are one after the other.
        answer = _own_answer(message_id, user_id, bot)
        before = answer.feedback.filter(user_id=user_id).first()
        if (value, comment) == (before.value, before.comment) if before else value is None:
            return before
        # 2. Replace the row.
        after = _replace(answer, user_id, value, comment)
        # 3. Tell: the gaps are collected by this event's handler, and webhooks are sent.
        payload = {
            "conversation_id": answer.conversation_id,
            "message_id": answer.pk,
            "context_id": str(answer.trace_id) if answer.trace_id else None,
            "value": value,
            "previous": before.value if before else None,
            "comment": comment if value else "",
        }
        record_event(AxiomEvent(event_type=FEEDBACK_GIVEN, entity_id=user_id, payload=payload), Event.Source.CHAT)
    return after


def _own_answer(message_id: int, user_id: str, bot: str) -> Message:
    answers = Message.objects.filter(pk=message_id, conversation__user_id=user_id, role__in=ANSWERS)
    answers = answers.filter(conversation__bot=bot) if bot else answers
    answer = answers.select_for_update(of=("self",), no_key=True).first()
    if answer is None:
        raise NotFound(f"There is no answer {message_id} in your conversations.")
    return answer


def _replace(answer: Message, user_id: str, value: str | None, comment: str) -> Feedback | None:
    if value is None:
        answer.feedback.filter(user_id=user_id).delete()
        return None
    fields = {"value": value, "comment": comment, "updated_at": timezone.now()}
    return answer.feedback.update_or_create(user_id=user_id, defaults=fields)[0]
