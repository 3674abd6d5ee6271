"""How long conversations are kept, and what is counted and kept of requests."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from chat.conversations.kept_values import erase_kept_values, renew
from chat.conversations.removal import remove_conversations
from chat.models import (
    ApiKey,
    AuditEntry,
    Bot,
    ClosedDay,
    Conversation,
    ConversationSummary,
    CountedRequest,
    Customer,
    Feedback,
    Gap,
    GapQuestion,
    GrantedPermission,
    HandoverSettings,
    IdempotentRequest,
    JoinedVisitor,
    KeyUse,
    LanguagePhrases,
    LimitSettings,
    Message,
    ModelCall,
    ModelProvider,
    Reservation,
    ReservedCost,
    SampleState,
    SpendingDay,
    SupportHours,
    Ticket,
    TierLimit,
    UserSigning,
)
from common.retention import Bounded, Retained
from contexts.erasure import erase_traces
from contexts.models import Trace
from events.models import Event

_LONGEST_WINDOW = timedelta(days=1)
"""The longest window of a limit of requests; what a crash left of a reservation ends by itself long before."""


def _without_agent(conversations: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    return conversations.filter(state__in=[Conversation.State.BOT, Conversation.State.CLOSED])


def _remove(conversations: QuerySet[Any]) -> None:
    """Delete conversations, with the traces of their messages and what features have kept of them.

    All that is of a text that is to be gone.
    """
    traces = Message.objects.filter(conversation__in=conversations, trace__isnull=False).order_by().values("trace")
    erase_traces(Trace.objects.filter(pk__in=traces))
    values = erase_kept_values(conversations)
    transaction.on_commit(lambda: renew(values))
    remove_conversations(conversations)


def _without_traces_of(visitors: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    """Leave out the visitors under whose id something still stands, which an erasure of the user must find."""
    events = Event.objects.filter(entity_id=OuterRef("pk"))
    conversations = Conversation.objects.filter(user_id=OuterRef("pk"))
    return visitors.filter(~Exists(events), ~Exists(conversations))


CONVERSATIONS = Retained(
    name="conversations", model=Conversation, setting="FABRA_CONVERSATION_RETENTION", time="last_message_at",
    created="created_at", is_indexed=True, batch=50, removable=_without_agent, remove=_remove,
    with_it=(Message, ConversationSummary, Feedback, GapQuestion),
)  # fmt: skip
VISITORS = Retained(
    name="visitors who signed in", model=JoinedVisitor, setting="FABRA_CONVERSATION_RETENTION", time="joined_at",
    removable=_without_traces_of,
)  # fmt: skip
IDEMPOTENT = Retained(
    name="answers to requests with a key", model=IdempotentRequest, setting="FABRA_IDEMPOTENCY_RETENTION",
    time="created_at", is_indexed=True,
)  # fmt: skip
MODEL_CALLS = Retained(
    name="calls of models", model=ModelCall, setting="FABRA_MODEL_CALL_RETENTION", time="created_at", is_indexed=True
)
"""The sums of each day stay."""
KEY_USE = Retained(name="use of API keys by days", model=KeyUse, setting="FABRA_KEY_USE_RETENTION", time="day")
AUDIT = Retained(
    name="audit log entries", model=AuditEntry, setting="FABRA_AUDIT_RETENTION", time="at", is_indexed=True
)
COUNTED = tuple(
    Retained(name=name, model=model, length=_LONGEST_WINDOW, time="created_at", grows_with_key=True)
    for name, model in (
        ("requests counted without Redis", CountedRequest),
        ("messages reserved without Redis", Reservation),
        ("costs reserved without Redis", ReservedCost),
    )
)

KINDS = (CONVERSATIONS, VISITORS, IDEMPOTENT, MODEL_CALLS, KEY_USE, AUDIT, *COUNTED)
STAYS = (
    Bounded(name="gaps", models=(Gap,), reason="as long as a conversation with one of their questions"),
    Bounded(name="sums of what models cost", models=(SpendingDay,), reason="some rows a day"),
    Bounded(
        name="customers and their tickets", models=(Customer, Ticket), created="created_at",
        reason="yours; the admin deletes them, and a conversation takes its ticket along",
    ),
    Bounded(
        name="keys and settings of the bot", reason="set up by operators",
        models=(
            ApiKey, Bot, ClosedDay, GrantedPermission, HandoverSettings, LanguagePhrases, LimitSettings, ModelProvider,
            SampleState, SupportHours, TierLimit, UserSigning,
        ),
    ),
)  # fmt: skip
