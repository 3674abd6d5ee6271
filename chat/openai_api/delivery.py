"""What a client gets to read around an answer, since its protocol has no other place for it."""

import logging

from asgiref.sync import sync_to_async
from django.db import DatabaseError
from django.utils.translation import gettext as _

from chat.conversations.threads import remember, said_between
from chat.live.bodies import name_of
from chat.models import Conversation, Message
from chat.openai_api.questions import ParsedRequest
from chat.turns.turn import Answer
from contexts.items import SEPARATOR

logger = logging.getLogger(__name__)


async def missed_by(parsed: ParsedRequest, question_id: int | None, state: str = "") -> str:
    """Return what was said in the conversation since the client last heard of it, as Markdown.

    A client asks and is never told, so the words of a person reach it with its next question; so does what the bot
    answered after a person gave the conversation back.
    """
    found = parsed.goes_on_with
    if found is None or question_id is None or not (found.was_taken_over or state == Conversation.State.PERSON):
        return ""
    said = await sync_to_async(said_between)(found.record.conversation_id, found.heard_id, question_id)
    return SEPARATOR.join(_line(message) for message in said)


def _line(message: Message) -> str:
    if message.role == Message.Role.ASSISTANT:
        return message.text
    return f"**{name_of(message.author) or _('Support')}:** {message.text}"


def closing_of(answer: Answer) -> str:
    """Return the lines that tell what changed with the message, and that a person answers it."""
    lines = list(answer.notices)
    if answer.state == Conversation.State.PERSON and not answer.response:
        lines.append(_("A person answers you here. What they write comes with your next message."))
    return SEPARATOR.join(lines)


async def keep_state(parsed: ParsedRequest, answer: Answer, text: str) -> None:
    """Note what the client has heard, unless that was stored together with the model's answer.

    If PostgreSQL fails, the answer is given all the same, and the next question begins a conversation of its own.
    """
    thread = parsed.question.thread
    if thread is None or answer.message_id is None:
        return
    heard = thread.after(text)
    if answer.model and heard == thread.after(answer.response):
        return
    try:
        await sync_to_async(remember)(answer.message_id, heard)
    except DatabaseError as error:
        logger.warning("What a client has heard could not be noted: %s", type(error).__name__)
