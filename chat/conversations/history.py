"""What was said before in a conversation, and the room that the model's window leaves for a context."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import BinaryField, F, Func
from pgvector import Vector

from chat.errors import MessageTooLong
from chat.models import ConversationSummary, Message
from chat.providers import Provider
from chat.small_talk import SMALL_TALK
from chat.turns.thread import ClientThread
from chat.turns.turn import Question
from contexts.conversation import ConversationHistory, PastSummary, PastTurn
from contexts.items import SEPARATOR
from contexts.suspicion import without_role_tags
from contexts.tokens import tokenizer_for
from retrieval.search.questions import EmbeddedQuestion, Embedding

_TOKENS_PER_MESSAGE = 4
"""What a chat template puts around each message; the OpenAI cookbook's count is 3, and one for a name."""
_OFFERED_SUMMARIES = 6


async def read_history(question: Question) -> ConversationHistory:
    """Return the answered turns of the user's own conversation; none of a new one, or of somebody else's.

    Of a client that keeps its conversations itself, ours counts as far as it knows it, between what only it tells.
    """
    if question.thread is not None:
        return await _read_with_thread(question, question.thread)
    if question.conversation_id is None or not settings.FABRA_HISTORY_TURNS:
        return ConversationHistory(query=question.asked)
    turns, summaries = await sync_to_async(_read)(question.conversation_id, question.user_id)
    return ConversationHistory(turns, summaries, query=question.asked)


async def _read_with_thread(question: Question, thread: ClientThread) -> ConversationHistory:
    most = settings.FABRA_HISTORY_TURNS
    own: tuple[PastTurn, ...] = ()
    summaries: tuple[PastSummary, ...] = ()
    if thread.record is not None and most:
        known = thread.record.last_message_id + 1
        own, summaries = await sync_to_async(_read)(thread.record.conversation_id, question.user_id, before=known)
    turns = (*thread.before, *own, *thread.since)[-most:] if most else ()
    return ConversationHistory(turns, summaries, remarks=thread.remarks, query=question.asked)


def _read(
    conversation_id: int, user_id: str, before: int | None = None
) -> tuple[tuple[PastTurn, ...], tuple[PastSummary, ...]]:
    """Return the newest turns that no summary covers, and the newest summaries: one statement where there are few."""
    newest = settings.FABRA_HISTORY_TURNS
    turns = read_turns(conversation_id, user_id, before=before, newest=newest)
    if len(turns) < newest:
        return tuple(turns), ()
    found = ConversationSummary.objects.filter(conversation=conversation_id, conversation__user_id=user_id)
    if before is not None:
        found = found.filter(last_message__lt=before)
    rows = list(
        found.order_by("-last_message").values_list("id", "text", "turn_count", "last_message")[:_OFFERED_SUMMARIES]
    )
    summaries = [PastSummary(summary_id=pk, text=text, turn_count=count) for pk, text, count, _ in rows]
    covered = rows[0][3] if rows else 0
    return tuple(turn for turn in turns if turn.message_id > covered), tuple(reversed(summaries))


def read_turns(
    conversation_id: int, user_id: str, *, after: int = 0, before: int | None = None, newest: int
) -> list[PastTurn]:
    """Return the newest answered turns whose questions came after one message and before another, the oldest first.

    A question whose answer failed is left out: some chat templates refuse two messages of one role in a row. Small
    talk is left out too: it would only weaken what a follow-up is about.
    """
    messages = Message.objects.filter(conversation=conversation_id, conversation__user_id=user_id, id__gt=after)
    if before is not None:
        messages = messages.filter(id__lt=before)
    rows = (
        messages.exclude(role=Message.Role.NOTICE)
        .annotate(vector=Func(F("embedding"), function="vector_send", output_field=BinaryField()))
        .order_by("-id")
        # As bytes: to write and parse the numbers of 20 vectors takes 2 ms.
        .values_list("id", "role", "text", "trace", "flags", "vector", "embedding_model")[: 3 * newest]
    )
    return _turns_of(reversed(rows))[-newest:]


def _turns_of(rows: Iterable[tuple[Any, ...]]) -> list[PastTurn]:
    """Return the answered turns of messages, the oldest first.

    The bot answers one question, whose trace it shares. A person answers all that was said since the last answer, and
    what they add belongs to their answer.
    """
    turns: list[PastTurn] = []
    asked: list[tuple[int, str, object]] = []
    for message_id, role, text, trace_id, flags, vector, model in rows:
        if role == Message.Role.USER:
            question = text
            if vector is not None:
                embedding = Embedding(model=model, vector=Vector.from_binary(vector).to_numpy())
                question = EmbeddedQuestion(text, embedding)
            asked.append((message_id, question, trace_id))
            continue
        if role == Message.Role.ASSISTANT:
            is_answer = text and SMALL_TALK not in flags  # no text: it was stopped before its first word
            found = [message for message in asked if message[2] == trace_id] if is_answer else []
        else:
            found = asked
        if found:
            question = found[0][1] if len(found) == 1 else SEPARATOR.join(message[1] for message in found)
            turns.append(PastTurn(question=question, answer=text, message_id=found[-1][0]))
        elif turns and role == Message.Role.AGENT:
            turns[-1] = replace(turns[-1], answer=SEPARATOR.join([turns[-1].answer, text]))
        asked.clear()
    return turns


def room_for_context(question: Question, history: ConversationHistory, provider: Provider) -> int | None:
    """Return how many tokens a model's window leaves for a context and the history; None for 0, a window not known.

    Raise MessageTooLong if it leaves none.
    """
    window = provider.window
    if not window:
        return None
    most = provider.config.most_tokens if provider.config else settings.FABRA_MODEL_MAX_TOKENS
    messages = 2 + 2 * len(history)
    # The question as it stands below the passages.
    asked = SEPARATOR + without_role_tags(question.asked)
    used = tokenizer_for(settings.FABRA_CHAT_MODEL).count(asked) + _TOKENS_PER_MESSAGE * messages
    room = window - most - used
    if room <= 0:
        raise MessageTooLong(
            f"message takes {used} tokens; the model's window of {window} has no room for it "
            f"beside an answer of {most}."
        )
    return room
