"""What each change of a conversation's state is made of: its lock, the new state, its line, its ticket, its event."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from chat.errors import ConversationClosed, ConversationNotFound
from chat.handover import notices
from chat.handover.tickets import close_ticket, open_ticket
from chat.live.changes import publish_state, stop_bot
from chat.models import Conversation, Message
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event

ESCALATED, ASSIGNED = "conversation_escalated", "conversation_assigned"
HANDED_BACK, CLOSED = "conversation_handed_back", "conversation_closed"
CONTACT_LEFT = "contact_left"
"""The types of the events; each is of the user."""

State = Conversation.State


@contextmanager
def locked(conversation_id: int) -> Iterator[Conversation]:
    """Give the conversation with its row locked, in a transaction; raise ConversationNotFound."""
    with transaction.atomic():
        conversation = Conversation.objects.lock(conversation_id)
        if conversation is None:
            raise ConversationNotFound
        yield conversation


def move(conversation: Conversation, state: str, agent: Any = None) -> None:
    """Set the state and tell open pages of it; raise ConversationClosed, since only a closed one cannot go on."""
    if not conversation.may_become(state) and conversation.state != state:
        raise ConversationClosed
    conversation.become(state, agent)
    fields = ["state", "agent", "state_changed_at", "takeovers", "queue", "escalation_reason", "is_wait_told"]
    conversation.save(update_fields=fields)
    publish_state(conversation)


def record(conversation: Conversation, event_type: str, **payload: Any) -> None:
    """Write an event of the conversation's user; every payload names the conversation, its bot and the contact."""
    own = {"conversation_id": conversation.pk, "bot": conversation.bot, "contact": conversation.contact or None}
    event = AxiomEvent(event_type=event_type, entity_id=conversation.user_id, payload={**own, **payload})
    record_event(event, Event.Source.CHAT)


def wait(conversation: Conversation, reason: str, *, by: Any = None, message_id: int | None = None) -> None:
    """Let the conversation wait for whoever takes it, with an open ticket; `message_id` is the question it is about."""
    before = conversation.agent
    conversation.escalation_reason = reason[:200]
    move(conversation, State.WAITING)
    if notices.opening():  # the line about it says that nobody is there, and asks for an address
        conversation.is_wait_told = True
        conversation.save(update_fields=["is_wait_told"])
    record(
        conversation, ESCALATED, reason=reason[:200], message_id=message_id, ticket=open_ticket(conversation).number,
        previous_agent=before.get_username() if before else None, by=by.get_username() if by else None,
    )  # fmt: skip


def give_to(conversation: Conversation, agent: Any, *, by: Any) -> None:
    """Give the conversation to a person; an answer that the bot began is dropped."""
    before = conversation.agent if conversation.state == State.PERSON else None
    move(conversation, State.PERSON, agent)
    stop_bot(conversation)
    conversation.unanswered_since = conversation.unanswered_since if before else _unanswered_since(conversation)
    conversation.save(update_fields=["unanswered_since"])
    notices.notify_assigned(conversation, agent, before)
    previous = before.get_username() if before else None
    record(conversation, ASSIGNED, agent=agent.get_username(), previous_agent=previous, by=by.get_username())


def end(conversation: Conversation, reason: str, *, agent: Any = None, note: str = "", otherwise: str = "") -> None:
    """Close the conversation and its ticket; `otherwise` stands in the ticket where there is no note."""
    ticket = close_ticket(conversation, note, otherwise=otherwise)
    conversation.unanswered_since = None
    conversation.save(update_fields=["unanswered_since"])
    move(conversation, State.CLOSED)
    stop_bot(conversation)
    notices.notify_closed(conversation)
    name, number = agent.get_username() if agent else None, ticket.number if ticket else None
    record(conversation, CLOSED, agent=name, reason=reason, note=note, ticket=number)


def _unanswered_since(conversation: Conversation) -> Any:
    """Return when the last message was written, if it is the customer's; otherwise None."""
    said = conversation.messages.exclude(role=Message.Role.NOTICE)
    last = said.order_by("-id").values_list("role", "created_at").first()
    return last[1] if last and last[0] == Message.Role.USER else None
