"""What was said before in a conversation, and the room that the model's window leaves for a context."""

from django.conf import settings

from chat.errors import MessageTooLong
from chat.models import Message
from chat.small_talk import SMALL_TALK
from chat.turns import Question
from contexts.conversation import ConversationHistory, PastTurn
from contexts.items import SEPARATOR
from contexts.suspicion import without_role_tags
from contexts.tokens import tokenizer_for

_TOKENS_PER_MESSAGE = 4
"""What a chat template puts around each message; the OpenAI cookbook's count is 3, and one for a name."""


async def read_history(question: Question) -> ConversationHistory | None:
    """Return the answered turns of the user's own conversation; None for a new one, or somebody else's.

    A question whose answer failed is left out: some chat templates refuse two messages of one role in a row. Small
    talk is left out too: it would only weaken what a follow-up is about.
    """
    if question.conversation_id is None or not settings.FABRA_HISTORY_TURNS:
        return None
    messages = Message.objects.filter(
        conversation=question.conversation_id, conversation__user_id=question.user_id, trace__isnull=False
    )
    newest = messages.order_by("-id").values_list("id", "role", "text", "trace", "flags")
    answers: dict[object, str] = {}
    turns: list[PastTurn] = []
    async for message_id, role, text, trace_id, flags in newest[: 2 * settings.FABRA_HISTORY_TURNS]:
        if role == Message.Role.ASSISTANT and SMALL_TALK not in flags:
            answers[trace_id] = text
        elif trace_id in answers:
            turns.append(PastTurn(question=text, answer=answers[trace_id], message_id=message_id))
    return ConversationHistory(tuple(reversed(turns))) if turns else None


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
