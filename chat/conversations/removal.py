"""Delete conversations' rows, in one order of locks with whoever changes gaps."""

from django.db.models import QuerySet

from chat.gaps.grouping import LOCK, refresh
from chat.models import Conversation, GapQuestion
from common.locks import lock_in_transaction


def remove_conversations(conversations: QuerySet[Conversation]) -> None:
    """Delete conversations with their messages, in a transaction of the caller's, who holds the conversations.

    The lock of the gaps is taken before any of their rows, as whoever merges gaps does, and each gap that loses
    questions is computed anew once.
    """
    questions = GapQuestion.objects.filter(message__conversation__in=conversations, gap__isnull=False).order_by()
    gaps: set[int | None] = set()
    if questions.exists():
        lock_in_transaction(LOCK)
        gaps = {*questions.values_list("gap", flat=True)}
        questions.update(gap=None)
    conversations.delete()
    refresh(gaps)
