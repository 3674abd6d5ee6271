"""How long conversations are kept, and the admin's log."""

from typing import Any

from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet

from chat.models import (
    AuditEntry,
    Conversation,
    ConversationSummary,
    Feedback,
    IdempotentRequest,
    Message,
    ModelCall,
    Ticket,
)
from common.retention import Retained
from contexts.erasure import erase_traces
from contexts.models import Trace


def _without_agent(conversations: QuerySet[Any]) -> QuerySet[Any]:
    return conversations.filter(state__in=[Conversation.State.BOT, Conversation.State.CLOSED])


def _remove(conversations: QuerySet[Any]) -> None:
    """Delete conversations, with the traces of their messages: those are of a text that is to be gone."""
    traces = Message.objects.filter(conversation__in=conversations, trace__isnull=False).order_by().values("trace")
    erase_traces(Trace.objects.filter(pk__in=traces))
    conversations.delete()


CONVERSATIONS = Retained(
    name="conversations", model=Conversation, setting="FABRA_CONVERSATION_RETENTION", time="last_message_at",
    is_indexed=True, removable=_without_agent, remove=_remove, with_it=(Message, ConversationSummary, Feedback, Ticket),
)  # fmt: skip
IDEMPOTENT = Retained(
    name="answers to requests with a key", model=IdempotentRequest, setting="FABRA_IDEMPOTENCY_RETENTION",
    time="created_at", is_indexed=True,
)  # fmt: skip
MODEL_CALLS = Retained(
    name="calls of models", model=ModelCall, setting="FABRA_MODEL_CALL_RETENTION", time="created_at", is_indexed=True
)
"""The sums of each day stay."""
AUDIT = Retained(
    name="audit log entries", model=AuditEntry, setting="FABRA_AUDIT_RETENTION", time="at", is_indexed=True
)
ADMIN_LOG = Retained(name="admin log entries", model=LogEntry, setting="FABRA_ADMIN_LOG_RETENTION", time="action_time")
