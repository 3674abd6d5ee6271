"""What the inbox shows: who waits, who is answered by whom, and one conversation with what is known of its customer."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils import timezone
from django.utils.timesince import timesince

from chat.access.callers import USER_KEY
from chat.access.permissions import REASSIGN_CONVERSATION
from chat.live.bodies import message_body, staff_name_of
from chat.models import Conversation, Customer, Message, Ticket, reasons
from common.admin.html import short
from common.links import Asked, absolute_link, page_link
from contexts.models import Trace, TraceBody
from features import registry
from features.models import FeatureValue

_MOST_ROWS = 100
_MOST_MESSAGES = 200
_MOST_TICKETS = 5
_VALUE_CHARS = 200
_ITEM_CHARS = 160

State = Conversation.State


@dataclass(frozen=True, kw_only=True)
class InboxRow:
    """A conversation in the list."""

    conversation: Conversation
    customer: Customer | None
    last: str
    """The beginning of what the customer wrote last."""
    last_id: int
    """The id of that message; 0 without one."""
    agent: str | None

    @property
    def name(self) -> str:
        return str(self.customer) if self.customer else self.conversation.user_id

    @property
    def is_unanswered(self) -> bool:
        return self.conversation.unanswered_since is not None

    @property
    def since(self) -> datetime:
        """When the customer's message came that is not answered; otherwise when the state changed."""
        return self.conversation.unanswered_since or self.conversation.state_changed_at

    @property
    def age(self) -> str:
        return age_of(self.since)


@dataclass(frozen=True, kw_only=True)
class Inbox:
    waiting: list[InboxRow]
    """Longest waiting first."""
    mine: list[InboxRow]
    """The unanswered first, those by their age."""
    others: list[InboxRow]

    @property
    def pending(self) -> int:
        """How many conversations the agent could do something about: they count in the page's title."""
        return len(self.waiting) + sum(row.is_unanswered for row in self.mine)

    @property
    def newest(self) -> dict[int, int]:
        """The id of each customer's last message, by the conversation, of those that the agent could answer."""
        return {row.conversation.pk: row.last_id for row in (*self.waiting, *self.mine)}


def inbox_of(agent: Any) -> Inbox:
    """Return the conversations that wait for a person or have one; at most 100 that wait, and 100 that have one."""
    waiting = _rows(Conversation.objects.filter(state=State.WAITING).order_by("state_changed_at", "pk"))
    held = _rows(
        Conversation.objects.filter(state=State.PERSON).order_by(F("unanswered_since").asc(nulls_last=True), "pk")
    )
    return Inbox(
        waiting=waiting,
        mine=[row for row in held if row.conversation.agent_id == agent.pk],
        others=[row for row in held if row.conversation.agent_id != agent.pk],
    )


def _rows(conversations: QuerySet[Conversation]) -> list[InboxRow]:
    said = Message.objects.filter(conversation=OuterRef("pk"), role=Message.Role.USER).order_by("-id")
    last = Subquery(said.values(beginning=Left("text", 160))[:1])
    last_id = Subquery(said.values("id")[:1])
    found = list(conversations.select_related("agent").annotate(last=last, last_id=last_id)[:_MOST_ROWS])
    customers = {
        row.user_id: row
        for row in Customer.objects.filter(user_id__in={conversation.user_id for conversation in found})
    }
    return [
        InboxRow(
            conversation=conversation,
            customer=customers.get(conversation.user_id),
            last=conversation.last or "",
            last_id=conversation.last_id or 0,
            agent=staff_name_of(conversation.agent),
        )
        for conversation in found
    ]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A conversation that is open, beside what is known."""

    conversation: Conversation
    is_mine: bool
    """Whether the reader holds it."""
    may_end: bool
    """Whether the reader may pass it on, hand it back and close it."""
    agent: str | None
    messages: list[dict[str, Any]]
    is_cut: bool
    customer: Customer | None
    tickets: list[Ticket] = field(default_factory=list)
    values: list[FeatureValue] = field(default_factory=list)
    trace: Trace | None = None
    """The trace of the newest answer: what the model saw."""
    items: list[dict[str, Any]] = field(default_factory=list)
    """What that trace's context was made of, kept or dropped."""
    sources: list[dict[str, Any]] = field(default_factory=list)
    """The newest answer's passages, the cited ones first."""

    @property
    def name(self) -> str:
        return str(self.customer) if self.customer else self.conversation.user_id

    @property
    def age(self) -> str:
        return age_of(self.conversation.state_changed_at)

    @property
    def version(self) -> str:
        return version_of(self.conversation)

    @property
    def reason(self) -> str:
        """Why a person is asked for, in words."""
        return reasons.words_of(self.conversation.escalation_reason)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The values of the customer's features, each as one short text."""
        return [(value.feature, _shown(value.value)) for value in self.values]

    @property
    def last_id(self) -> int:
        return self.messages[-1]["id"] if self.messages else 0

    @property
    def last_question(self) -> str:
        asked = (message["text"] for message in reversed(self.messages) if message["role"] == Message.Role.USER)
        return next(asked, "")


def open_conversation(conversation: Conversation, request: HttpRequest) -> Opened:
    """Return the conversation with what the user may see of traces, values and tickets."""
    user: Any = request.user
    messages = messages_after(conversation, 0, most=_MOST_MESSAGES + 1)
    is_cut = len(messages) > _MOST_MESSAGES
    answers = conversation.messages.filter(role=Message.Role.ASSISTANT).order_by("-id")
    newest = answers.select_related("trace").first()
    customer = Customer.objects.filter(user_id=conversation.user_id).first()
    trace = newest.trace if newest and user.has_perm("contexts.view_trace") else None
    tickets = customer.tickets.all()[:_MOST_TICKETS] if customer and user.has_perm("chat.view_ticket") else []
    is_held = conversation.state == State.PERSON
    is_mine = is_held and conversation.agent_id == user.pk
    return Opened(
        conversation=conversation,
        is_mine=is_mine,
        may_end=not is_held or is_mine or conversation.agent_id is None or user.has_perm(REASSIGN_CONVERSATION),
        agent=staff_name_of(conversation.agent),
        messages=messages[-_MOST_MESSAGES:],
        is_cut=is_cut,
        customer=customer,
        tickets=list(tickets),
        values=_values_of(conversation.user_id) if user.has_perm("features.view_featurevalue") else [],
        trace=trace,
        items=_items_of(trace) if trace else [],
        sources=_sources_of(newest, request) if newest else [],
    )


def version_of(conversation: Conversation) -> str:
    """Return what changes whenever a conversation's head does: its state, who holds it, the address left."""
    return f"{conversation.state} {conversation.agent_id} {conversation.takeovers} {conversation.contact}"


def messages_after(conversation: Conversation, after: int, most: int = _MOST_MESSAGES) -> list[dict[str, Any]]:
    """Return the newest messages with a greater id, the oldest first."""
    rows = conversation.messages.filter(pk__gt=after).select_related("author").defer("embedding").order_by("-id")
    return [message_body(message) | {"message": message} for message in reversed(rows[:most])]


def age_of(moment: datetime) -> str:
    """Return how long ago it was, in its largest unit."""
    is_now = timezone.now() - moment < timedelta(minutes=1)
    return "just now" if is_now else timesince(moment, depth=1)


def _shown(value: Any) -> str:
    return short("; ".join(map(str, value)) if isinstance(value, list) else str(value), _VALUE_CHARS)


def _values_of(user_id: str) -> list[FeatureValue]:
    values: list[FeatureValue] = []
    for entity in registry.entities.values():
        names = [spec.name for spec in registry.features.values() if spec.entity.name == entity.name]
        if entity.key == USER_KEY and names:
            values += FeatureValue.objects.latest_of(entity.name, [user_id], names)
    return sorted(values, key=lambda value: value.feature)


def _items_of(trace: Trace) -> list[dict[str, Any]]:
    body = TraceBody.objects.filter(trace=trace).first()
    items = json.loads(body.text).get("items", []) if body else []
    return [item | {"beginning": short(" ".join(item["content"].split()), _ITEM_CHARS)} for item in items]


def _sources_of(answer: Message, request: Asked) -> list[dict[str, Any]]:
    """Return the answer's sources with links that can be sent to the customer, wherever they read them."""
    sources = sorted(answer.citations, key=lambda citation: not citation.get("is_cited"))
    return [citation | {"url": absolute_link(page_link(citation.get("url")), request)} for citation in sources]
