"""Answers whose process was killed: their traces get an outcome, and their messages no longer count."""

from datetime import timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef
from django.utils import timezone

from chat.limits.messages import refund_stored
from chat.models import Conversation, Message
from common.sql.rows import Statement
from contexts import traces
from contexts.models import Trace

INTERRUPTED = "interrupted"
"""The error of an answer whose process was killed."""
_OUTCOME = {"error": INTERRUPTED}
_SETTLED_AFTER, _LOOK_BACK = timedelta(minutes=1), timedelta(days=1)
_MOST = 500


def end_interrupted() -> int:
    """Give the traces of answers that nobody gives any more their outcome; return how many there were.

    Whoever gives one renews the lease of its conversation. A context that was assembled for no message has no outcome.
    """
    now = timezone.now()
    held = Conversation.objects.filter(pk=OuterRef("conversation"), lease_until__gt=now).exclude(queue=[])
    asked = Message.objects.filter(~Exists(held), trace=OuterRef("pk"), role=Message.Role.USER)
    begun = Trace.objects.filter(created_at__gt=now - _LOOK_BACK, created_at__lt=now - _SETTLED_AFTER)
    left = begun.filter(Exists(asked), state=Trace.State.ASSEMBLED).values_list("pk", flat=True)[:_MOST]
    return sum(_end(pk) for pk in left)


def _end(pk: UUID) -> bool:
    """End one answer; return False if another process did so first, or its answer was stored after all."""
    if traces.write_outcome(str(pk), answer="", model="", outcome=_OUTCOME, error_code=INTERRUPTED) is None:
        return False
    for message in Message.objects.filter(trace=pk, role=Message.Role.USER).select_related("api_key"):
        refund_stored(message)
    return True


def interrupted_statement(message_id: int) -> Statement:
    """Return the statement that does so for the trace that a message had until it is answered anew."""
    return traces.failure_statement(("SELECT trace_id FROM chat_message WHERE id = %s", [message_id]), INTERRUPTED)
