"""What was said before in a conversation, and the room that the model's window leaves for a context."""

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from django.conf import settings

from chat.errors import MessageTooLong
from chat.models import Message
from chat.turns import Question
from contexts.conversation import ConversationHistory, PastTurn
from contexts.items import SEPARATOR
from contexts.suspicion import without_role_tags
from contexts.tokens import tokenizer_for

_TOKENS_PER_MESSAGE = 4
"""What a chat template puts around each message; the OpenAI cookbook's count is 3, and one for a name."""


async def read_history(question: Question) -> ConversationHistory | None:
    """Return the answered turns of the user's own conversation, the bot's and a person's; None without any.

    A question whose answer failed is left out: some chat templates refuse two messages of one role in a row.
    """
    if question.conversation_id is None or not settings.FABRA_HISTORY_TURNS:
        return None
    messages = Message.objects.filter(
        conversation=question.conversation_id, conversation__user_id=question.user_id
    ).exclude(role=Message.Role.NOTICE)
    newest = messages.order_by("-id").values_list("id", "role", "text", "trace")[: 3 * settings.FABRA_HISTORY_TURNS]
    rows = [row async for row in newest if row[0] != question.stored_id]
    turns = turns_of(reversed(rows))[-settings.FABRA_HISTORY_TURNS :]
    return ConversationHistory(tuple(turns)) if turns else None


def turns_of(rows: Iterable[tuple[int, str, str, UUID | None]]) -> list[PastTurn]:
    """Return the answered turns of messages, the oldest first, each with its id, role, text and trace.

    The bot answers one question, whose trace it shares; a person answers all that was said since the last answer, and
    what they add belongs to that answer.
    """
    turns: list[PastTurn] = []
    asked: list[tuple[int, str, UUID | None]] = []
    for message_id, role, text, trace in rows:
        if role == Message.Role.USER:
            asked.append((message_id, text, trace))
        elif role == Message.Role.ASSISTANT:
            found = next((each for each in asked if each[2] == trace), None)
            if found:
                turns.append(PastTurn(question=found[1], answer=text, message_id=found[0]))
            asked.clear()
        elif asked:
            questions = SEPARATOR.join(each[1] for each in asked)
            turns.append(PastTurn(question=questions, answer=text, message_id=asked[-1][0]))
            asked.clear()
        elif turns:
            turns[-1] = replace(turns[-1], answer=SEPARATOR.join([turns[-1].answer, text]))
    return turns


def room_for_context(question: Question, history: ConversationHistory | None) -> int | None:
    """Return how many tokens the model's window leaves for a context and the history; None if it is not known.

    Raise MessageTooLong if it leaves none.
    """
    if not settings.FABRA_MODEL_WINDOW:
        return None
    messages = 2 + 2 * len(history or ())
    # The question as it stands below the passages.
    asked = SEPARATOR + without_role_tags(question.message)
    used = tokenizer_for(settings.FABRA_CHAT_MODEL).count(asked) + _TOKENS_PER_MESSAGE * messages
    room = settings.FABRA_MODEL_WINDOW - settings.FABRA_MODEL_MAX_TOKENS - used
    if room <= 0:
        raise MessageTooLong(
            f"message takes {used} tokens; the model's window of {settings.FABRA_MODEL_WINDOW} has no room for it "
            f"beside an answer of {settings.FABRA_MODEL_MAX_TOKENS}."
        )
    return room
