"""Mark a question as not answered: one row, written with the answer, or when somebody complains."""

from collections.abc import Sequence

from django.db import connection

from chat.answer_flags import SMALL_TALK
from chat.models import GapQuestion, Message
from common.sql.rows import Statement

# A question may be marked by its answer, then by a thumbs-down, and by an event that is handled twice.
_MARK = """
INSERT INTO chat_gapquestion (message_id, reasons, embedding_model, is_follow_up, asked_at)
SELECT id, %s::varchar[], '', false, created_at FROM chat_message WHERE id = %s /* if held */
ON CONFLICT (message_id) DO UPDATE SET reasons = ARRAY(
    SELECT DISTINCT unnest(chat_gapquestion.reasons || EXCLUDED.reasons) ORDER BY 1
)
"""


def mark_statement(message_id: int, reasons: Sequence[str]) -> Statement:
    """Return the statement that marks a question, for a transaction that writes more."""
    return _MARK, [list(reasons), message_id]


def mark(message_id: int, reason: str) -> None:
    """Mark a user's question as not answered; repeated, it changes nothing. A deleted one stays deleted."""
    with connection.cursor() as cursor:
        cursor.execute(*mark_statement(message_id, [reason]))


def unmark(message_id: int, reason: str) -> None:
    """Take a reason back; a question without another reason is no gap any more."""
    for question in GapQuestion.objects.select_for_update().filter(message=message_id, reasons__contains=[reason]):
        question.reasons = [other for other in question.reasons if other != reason]
        if question.reasons:
            question.save(update_fields=["reasons"])
        else:
            question.delete()


def question_of(answer: Message) -> Message | None:
    """Return the user's message that an answer of the bot answers."""
    asked = Message.objects.filter(conversation=answer.conversation_id, role=Message.Role.USER, pk__lt=answer.pk)
    if answer.trace_id:
        asked = asked.filter(trace=answer.trace_id)
    return asked.order_by("-pk").first()


def last_answered_question(conversation_id: int) -> Message | None:
    """Return the last question that the bot answered: it did not help somebody who asks for a person after it.

    Return None if thanks or a goodbye came after it: it did help.
    """
    answers = Message.objects.filter(conversation=conversation_id, role=Message.Role.ASSISTANT, trace__isnull=False)
    answer = answers.order_by("-pk").first()
    return question_of(answer) if answer and SMALL_TALK not in answer.flags else None
