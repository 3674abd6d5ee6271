"""What was said before in a conversation."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import BinaryField, F, Func
from django.db.models.functions import Coalesce
from pgvector import Vector

from chat.answer_flags import SMALL_TALK
from chat.models import ConversationSummary, Message
from chat.turns.thread import ClientThread
from chat.turns.turn import Question
from contexts.conversation import ConversationHistory, PastSummary, PastTurn
from contexts.items import SEPARATOR
from retrieval.search.questions import Embedding

_OFFERED_SUMMARIES = 6
_MOST_PAGES = 10
"""The most pages of messages to read; each usually has more turns than are offered."""


async def read_history(question: Question) -> ConversationHistory:
    """Return the answered turns of the user's own conversation; none of a new one, or of somebody else's.

    Of a client that keeps its conversations itself, ours counts as far as it knows it, between what only it tells.
    """
    if question.thread is not None:
        return await _read_with_thread(question, question.thread)
    if question.conversation_id is None or not settings.FABRA_HISTORY_TURNS:
        return ConversationHistory(query=question.asked)
    return await sync_to_async(_read)(question, question.conversation_id)


async def _read_with_thread(question: Question, thread: ClientThread) -> ConversationHistory:
    most = settings.FABRA_HISTORY_TURNS
    own = ConversationHistory()
    if thread.record is not None and most:
        known = thread.record.last_message_id + 1
        own = await sync_to_async(_read)(question, thread.record.conversation_id, before=known)
    turns = (*thread.before, *own.turns, *thread.since) if most else ()
    left_out = own.left_out + max(0, len(turns) - most)
    return replace(own, turns=turns[-most:], remarks=thread.remarks, query=question.asked, left_out=left_out)


def _read(question: Question, conversation_id: int, before: int | None = None) -> ConversationHistory:
    """Return the newest turns that no summary covers, and the newest summaries: one statement where there are few."""
    newest = settings.FABRA_HISTORY_TURNS
    turns, has_more = _newest_turns(conversation_id, question.user_id, before=before, newest=newest)
    if len(turns) < newest and not has_more:
        return ConversationHistory(tuple(turns), query=question.asked)
    found = ConversationSummary.objects.filter(conversation=conversation_id, conversation__user_id=question.user_id)
    if before is not None:
        found = found.filter(last_message__lt=before)
    columns = ("id", "text", "turn_count", "first_message", "last_message")
    rows = list(found.order_by("-last_message").values_list(*columns)[:_OFFERED_SUMMARIES])
    summaries = [PastSummary(summary_id=pk, text=text, turn_count=count) for pk, text, count, *_ in reversed(rows)]
    covered = (rows[-1][3], rows[0][4]) if rows else (0, 0)
    offered = [turn for turn in turns if turn.message_id > covered[1]]
    oldest = offered[0].message_id if offered else covered[1] + 1
    left_out = _left_out(conversation_id, oldest, covered) if has_more else 0
    return ConversationHistory(tuple(offered), tuple(summaries), query=question.asked, left_out=left_out)


def _left_out(conversation_id: int, oldest: int, covered: tuple[int, int]) -> int:
    """Return how many messages of the user come before the oldest turn that is offered, and in no offered summary.

    What was asked together with that turn's question belongs to it.
    """
    messages = Message.objects.filter(conversation=conversation_id, id__lt=oldest)
    answers = messages.filter(role__in=(Message.Role.ASSISTANT, Message.Role.AGENT))
    last = Coalesce(answers.order_by("-id").values("id")[:1], 0)
    return messages.filter(role=Message.Role.USER, id__lt=last).exclude(id__range=covered).count()


def read_turns(
    conversation_id: int, user_id: str, *, after: int = 0, before: int | None = None, newest: int
) -> list[PastTurn]:
    """Return the newest answered turns whose questions came after one message and before another, the oldest first.

    A question whose answer failed is left out: some chat templates refuse two messages of one role in a row. Small
    talk is left out too: it would only weaken what a follow-up is about.
    """
    return _newest_turns(conversation_id, user_id, after=after, before=before, newest=newest)[0]


def _newest_turns(
    conversation_id: int, user_id: str, *, after: int = 0, before: int | None = None, newest: int
) -> tuple[list[PastTurn], bool]:
    """Return the same, and whether there is more before them.

    A turn may be many messages, where a person answered: they are read page by page until there are enough turns.
    """
    messages = Message.objects.filter(conversation=conversation_id, conversation__user_id=user_id, id__gt=after)
    columns = (
        messages.exclude(role=Message.Role.NOTICE)
        .annotate(vector=Func(F("embedding"), function="vector_send", output_field=BinaryField()))
        .order_by("-id")
        # As bytes: to write and parse the numbers of 20 vectors takes 2 ms.
        .values_list("id", "role", "text", "trace", "flags", "vector", "embedding_model")
    )
    rows: list[tuple[Any, ...]] = []
    for _ in range(_MOST_PAGES):
        page = list((columns if before is None else columns.filter(id__lt=before))[: 3 * newest])
        rows += page
        turns = _turns_of(reversed(rows))
        if len(turns) > newest or len(page) < 3 * newest:
            return turns[-newest:], len(turns) > newest
        before = page[-1][0]
    return turns[-newest:], True


def _turns_of(rows: Iterable[tuple[Any, ...]]) -> list[PastTurn]:
    """Return the answered turns of messages, the oldest first.

    The bot answers one question, whose trace it shares. A person answers all that was said since the last answer, and
    what they add belongs to their answer.
    """
    turns: list[PastTurn] = []
    asked: list[tuple[PastTurn, object]] = []
    for message_id, role, text, trace_id, flags, vector, model in rows:
        if role == Message.Role.USER:
            embedding = None
            if vector is not None:
                embedding = Embedding(model=model, vector=Vector.from_binary(vector).to_numpy())
            asked.append((PastTurn(question=text, answer="", message_id=message_id, embedding=embedding), trace_id))
            continue
        if role == Message.Role.ASSISTANT:
            is_answer = text and SMALL_TALK not in flags  # no text: it was stopped before its first word
            found = [turn for turn, asked_trace in asked if asked_trace == trace_id] if is_answer else []
        else:
            found = [turn for turn, _ in asked]
        if len(found) == 1:
            turns.append(replace(found[0], answer=text))
        elif found:  # asked together: no embedding is of all of them
            question = SEPARATOR.join(turn.question for turn in found)
            turns.append(PastTurn(question=question, answer=text, message_id=found[-1].message_id))
        elif turns and role == Message.Role.AGENT:
            turns[-1] = replace(turns[-1], answer=SEPARATOR.join([turns[-1].answer, text]))
        asked.clear()
    return turns
