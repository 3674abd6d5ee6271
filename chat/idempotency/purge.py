"""The answers that are kept for requests with a key, for purges of documents that they quote.

Only the answer is erased, not the row: a repetition of the request must neither run again nor find another answer.
"""

from collections.abc import Sequence

from django.db.models import QuerySet

from chat.models import IdempotentRequest, Message
from contexts.models import Trace
from retrieval.indexing.purge import Store

ERASED = 410
"""The status of an answer that was erased; its body is empty."""


def erase_answers(version_ids: Sequence[int]) -> None:
    _quoting(version_ids).update(status=ERASED, headers={}, body="")


def count_answers(version_ids: Sequence[int]) -> int:
    return _quoting(version_ids).count()


def _quoting(version_ids: Sequence[int]) -> QuerySet[IdempotentRequest]:
    """Return the kept answers of all conversations that found these versions: a later answer may quote an earlier."""
    if not version_ids:
        return IdempotentRequest.objects.none()
    traces = Trace.objects.filter(version_ids__overlap=list(version_ids)).values("pk")
    conversations = Message.objects.filter(trace__in=traces).order_by().values("conversation")
    return IdempotentRequest.objects.filter(conversation__in=conversations).exclude(body="")


STORE = Store(name="kept answers to requests with a key", erase=erase_answers, count=count_answers)
