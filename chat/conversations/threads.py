"""Recognise the conversation that a client's question goes on with, among those of the same user."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from chat.models import Message
from chat.turns.thread import ClientThread, ConfirmedThread
from common.sql.statements import planned_cursor

_SENT_AGAIN_WITHIN = timedelta(minutes=15)
"""OpenAI's SDKs wait for an answer for ten minutes."""
_MOST_ANSWERS = 50
# A conversation went on after a message if it has a later state of a client's thread, or the answer to another
# question. A later answer to the same question is the bot's, after the person who was asked gave it back.
_STATES = """
SELECT m.thread_digest, m.conversation_id, m.id, c.takeovers,
    (SELECT max(l.id) FROM chat_message l WHERE l.conversation_id = m.conversation_id),
    EXISTS (
        SELECT FROM chat_message l WHERE l.conversation_id = m.conversation_id AND l.id > m.id
        AND (l.thread_digest <> '' OR l.role = 'assistant' AND l.trace_id IS DISTINCT FROM m.trace_id)
    )
FROM chat_message m JOIN chat_conversation c ON c.id = m.conversation_id
WHERE m.thread_digest = ANY(%(digests)s) AND m.thread_digest <> '' AND m.user_id = %(user_id)s
    AND (c.bot = %(bot)s OR %(bot)s = '')
ORDER BY m.id
"""


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """The newest of a client's turns that a message of ours confirms, and those before it in the same conversation."""

    record: ConfirmedThread
    start: int
    """The position of the first turn that is confirmed; those after it are, too."""
    end: int
    """The position after the last one."""
    heard_id: int
    """The last message that the client has heard of."""
    is_last: bool
    """Whether nothing came after it, so that the question goes on with the conversation."""
    was_taken_over: bool
    """Whether a person has held the conversation."""


def recognise(user_id: str, digests: Sequence[str], *, is_shared: bool, bot: str = "") -> Recognised | None:
    """Return what is known of a client's turns, by the digest after each, with a bot or "" for any; None for nothing.

    Where several people share the user id, a state that two conversations have had says nothing of whose this is.
    """
    with planned_cursor() as cursor:  # to plan it takes twice as long as to run it
        cursor.execute(_STATES, {"digests": list(digests), "user_id": user_id, "bot": bot})
        rows = cursor.fetchall()
    positions = {digest: position for position, digest in enumerate(digests)}
    # The newest state counts; of its conversations one that nobody went on with, and then the newest.
    rows.sort(key=lambda row: (positions[row[0]], not row[5], row[2]))
    if not rows:
        return None
    digest, conversation_id, message_id, takeovers, newest_id, has_gone_on = rows[-1]
    if is_shared and sum(row[0] == digest for row in rows) > 1:
        return None
    own = {positions[row[0]] for row in rows if row[1] == conversation_id}
    start = end = positions[digest] + 1
    while start - 1 in own:
        start -= 1
    is_last = end == len(digests) and not has_gone_on
    return Recognised(
        record=ConfirmedThread(conversation_id=conversation_id, last_message_id=newest_id if is_last else message_id),
        start=start, end=end, heard_id=message_id, is_last=is_last, was_taken_over=bool(takeovers),
    )  # fmt: skip


def question_answered_before(thread: ClientThread, user_id: str, bot: str = "") -> int | None:
    """Return the question that a client sends again, if its answer was stored a short while ago; else None.

    The answer's digest is of the same user, context, history and question, so it is no other answer.
    """
    since = timezone.now() - _SENT_AGAIN_WITHIN
    answers = Message.objects.filter(user_id=user_id, role=Message.Role.ASSISTANT, created_at__gte=since)
    answers = answers.exclude(thread_digest="").exclude(trace=None)
    if bot:
        answers = answers.filter(conversation__bot=bot)
    for answer in answers.order_by("-created_at").defer("embedding")[:_MOST_ANSWERS]:
        if thread.after(answer.text) == answer.thread_digest:
            asked = Message.objects.filter(
                conversation=answer.conversation_id, role=Message.Role.USER, trace=answer.trace_id
            )
            return asked.values_list("pk", flat=True).first()
    return None


def remember(message_id: int, digest: str) -> None:
    """Note the state of a client's conversation that a message led to."""
    Message.objects.filter(pk=message_id).update(thread_digest=digest)


def said_between(conversation_id: int, first_id: int, last_id: int) -> list[Message]:
    """Return what people and the bot said between two messages, the oldest first, with their authors."""
    said = Message.objects.filter(conversation=conversation_id, id__gt=first_id, id__lt=last_id)
    answers = said.filter(role__in=(Message.Role.AGENT, Message.Role.ASSISTANT))
    return list(answers.select_related("author").order_by("id"))
