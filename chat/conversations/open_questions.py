"""What a customer wrote since the last answer, and nobody has answered: it is asked together.

While a person holds a conversation nobody answers for the bot, and a person may leave without an answer. The bot is
then asked all of it at once, by the next message or by `chat.engine.unanswered`, whichever comes first.
"""

from collections.abc import Sequence
from dataclasses import replace

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce

from chat.handover.contacts import address_in, is_mistyped_address
from chat.handover.notices import CONTACT, NO_ADDRESS
from chat.models import Message
from chat.small_talk.detection import small_talk_in
from chat.turns.lease import ConversationLease
from chat.turns.turn import Question
from contexts.items import SEPARATOR

_MOST = 50
_ANSWERS = (Message.Role.ASSISTANT, Message.Role.AGENT)


def open_questions(conversation_id: int) -> list[Message]:
    """Return the customer's messages after the last answer, with their keys, the oldest first; the newest 50.

    An address that was asked for, and kept, is no question, nor is one that is mistyped.
    """
    said = Message.objects.filter(conversation=conversation_id)
    answered = said.filter(role__in=_ANSWERS).order_by("-pk").values("pk")[:1]
    later = said.filter(pk__gt=Coalesce(Subquery(answered), Value(0))).select_related("api_key").defer("embedding")
    found: list[Message] = []
    for message in reversed(later.order_by("-pk")[:_MOST]):
        if message.role == Message.Role.USER:
            found.append(message)
        elif found and _is_of_address(message, found[-1].text):
            found.pop()
    return found


def _is_of_address(notice: Message, text: str) -> bool:
    if NO_ADDRESS in notice.flags:
        return is_mistyped_address(text)
    return CONTACT in notice.flags and bool(address_in(text))


async def with_open_questions(question: Question, lease: ConversationLease) -> Question:
    """Return the question with those before it that nobody has answered; read only where the lease says so."""
    if not lease.has_unanswered:
        return question
    return await sync_to_async(_joined)(question, lease)


def _joined(question: Question, lease: ConversationLease) -> Question:
    assert lease.conversation_id is not None
    # "Hello?" after a question asks for its answer.
    left = [message for message in open_questions(lease.conversation_id) if small_talk_in(message.text) is None]
    others = [message for message in left if message.pk != question.stored_id]
    if not others:
        return question
    texts = [message.text for message in left]
    if question.stored_id is None and small_talk_in(question.message) is None:
        texts.append(question.message)
    text = SEPARATOR.join(_fitting(list(dict.fromkeys(texts))))
    return replace(question, open_ids=tuple(message.pk for message in others), open_text=text)


def _fitting(texts: Sequence[str]) -> Sequence[str]:
    """Return as many of the newest texts as one message may have characters, but at least one."""
    chars_left = settings.FABRA_MESSAGE_MAX_CHARS
    count = 0
    for text in reversed(texts):
        chars_left -= len(text) + len(SEPARATOR)
        if chars_left < 0 and count:
            break
        count += 1
    return texts[len(texts) - count :]
