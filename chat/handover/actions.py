"""What changes who answers in a conversation: the only code that sets its state.

Each function is one transaction with the state, a line that the customer sees and an event; open pages are told after
it. Functions for a person take a user of Django's, whose permission is read anew: one who lost it is refused with
AgentForbidden, and what they held waits for somebody else.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from chat.access.permissions import may_open_inbox
from chat.errors import AgentForbidden, ConversationConflict, ConversationHeld, ConversationNotFound, InvalidMessage
from chat.gaps.marking import last_answered_question
from chat.handover import notices
from chat.live.bodies import name_of
from chat.live.changes import stop_bot, tell_inbox, tell_of_message, tell_of_state
from chat.models import Conversation, Customer, HandoverSettings, Message, Ticket
from common.dispatch import MODEL_QUEUE, enqueue
from common.validation import check_text, is_blank
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event

ESCALATED, ASSIGNED = "conversation_escalated", "conversation_assigned"
HANDED_BACK, CLOSED = "conversation_handed_back", "conversation_closed"
"""The types of the events; each is of the user, and its payload has `conversation_id`."""

CUSTOMER_ASKED, NOT_KNOWN_TWICE, THUMBS_DOWN = "customer_asked", "not_known_twice", "thumbs_down"
BY_AGENT, AGENT_GONE, NOT_ANSWERED = "by_agent", "agent_gone", "not_answered"
"""Reasons of an escalation; a context function gives a sentence of its own."""

ANSWER_UNANSWERED = "chat.tasks.answer_unanswered"

State = Conversation.State


def escalate(conversation_id: int, reason: str, *, message_id: int | None = None) -> Conversation:
    """Ask for a person; one who is asked or there already is not asked again.

    `message_id` is the customer's message that it is about; for one who asks themselves it is found here. Raise
    ConversationNotFound, or ConversationConflict for a closed conversation.
    """
    with _locked(conversation_id) as conversation:
        if conversation.state in (State.WAITING, State.PERSON):
            return conversation
        conversation.escalation_reason = reason[:200]
        _move(conversation, State.WAITING)
        notices.tell_escalated(conversation)
        if message_id is None and reason == CUSTOMER_ASKED:
            question = last_answered_question(conversation_id)
            message_id = question.pk if question else None
        _record(conversation, ESCALATED, reason=reason[:200], message_id=message_id)
    return conversation


def ask_again(conversation_id: int) -> Message:
    """Tell a customer who asks for a person, and waits for one already, how it stands."""
    with _locked(conversation_id) as conversation:
        return notices.tell_still_waiting(conversation)


def assign(conversation_id: int, agent: Any) -> Conversation:
    """Give the conversation to a person; the bot is silent from now on, and an answer that it began is dropped.

    Raise ConversationNotFound, AgentForbidden, ConversationHeld, or ConversationConflict for a closed conversation.
    """
    agent = _permitted(conversation_id, agent)
    with _locked(conversation_id) as conversation:
        if conversation.state == State.PERSON and conversation.agent_id == agent.pk:
            return conversation
        _check_free(conversation, agent)
        _move(conversation, State.PERSON, agent)
        stop_bot(conversation)
        conversation.unanswered_since = _unanswered_since(conversation)
        conversation.save(update_fields=["unanswered_since"])
        notices.tell_assigned(conversation, str(name_of(agent)))
        _record(conversation, ASSIGNED, agent=agent.get_username())
    return conversation


def send_as_agent(conversation_id: int, agent: Any, text: str, *, client_id: UUID | None = None) -> Message:
    """Store and send what a person writes; a `client_id` that was sent before returns what was stored then.

    Raise ConversationNotFound, AgentForbidden, ConversationHeld, InvalidInput, or ConversationConflict for somebody
    who does not hold the conversation.
    """
    if is_blank(check_text(text, "message")):
        raise InvalidMessage("message must not be empty.")
    if len(text) > settings.FABRA_MESSAGE_MAX_CHARS:
        raise InvalidMessage(f"message must have at most {settings.FABRA_MESSAGE_MAX_CHARS} characters.")
    agent = _permitted(conversation_id, agent)
    with _locked(conversation_id) as conversation:
        sent = client_id and conversation.messages.filter(client_id=client_id, author=agent).first()
        if sent:
            return sent
        _check_holds(conversation, agent)
        message = Message.objects.create(
            conversation=conversation, user_id=conversation.user_id, role=Message.Role.AGENT, author=agent, text=text,
            client_id=client_id,
        )  # fmt: skip
        conversation.unanswered_since, conversation.last_message_at = None, message.created_at
        conversation.save(update_fields=["unanswered_since", "last_message_at"])
        tell_of_message(message)
        tell_inbox(conversation)
    return message


def hand_back(conversation_id: int, agent: Any) -> Conversation:
    """Let the bot go on, which answers the customer's last message if nobody has; repeated, it changes nothing.

    Whoever holds the conversation may; while it waits, everybody who may answer. Raise as `assign` does.
    """
    agent = _permitted(conversation_id, agent)
    with _locked(conversation_id) as conversation:
        if conversation.state == State.BOT:
            return conversation
        _check_free(conversation, agent)
        _give_to_bot(conversation, reason=BY_AGENT, is_timeout=False)
    return conversation


def close(conversation_id: int, agent: Any, note: str = "") -> Conversation:
    """End the conversation; a note is kept as a closed ticket of the customer's. Repeated, it changes nothing.

    Raise ConversationNotFound, AgentForbidden or ConversationHeld.
    """
    check_text(note, "note")
    agent = _permitted(conversation_id, agent)
    with _locked(conversation_id) as conversation:
        if conversation.state == State.CLOSED:
            return conversation
        _check_free(conversation, agent)
        ticket = None if is_blank(note) else _ticket(conversation, note)
        conversation.unanswered_since = None
        conversation.save(update_fields=["unanswered_since"])
        _move(conversation, State.CLOSED)
        stop_bot(conversation)
        notices.tell_closed(conversation)
        number = ticket.number if ticket else None
        _record(conversation, CLOSED, agent=agent.get_username(), note=note, ticket=number)
    return conversation


def keep_contact(conversation_id: int, address: str) -> Conversation:
    """Keep the e-mail address that a customer leaves; raise InvalidMessage for what is none."""
    address = check_text(address, "email").strip()
    if len(address) > 254 or not is_address(address):
        raise InvalidMessage("email must be an e-mail address.")
    with _locked(conversation_id) as conversation:
        if conversation.contact != address:
            conversation.contact = address
            conversation.save(update_fields=["contact"])
            notices.tell_contact(conversation)
            tell_inbox(conversation)
    return conversation


def return_from_person(conversation_id: int) -> None:
    """Let the bot go on where a person left the customer unanswered too long; checked again under the lock."""
    after = HandoverSettings.load().unanswered_after
    with _locked(conversation_id) as conversation:
        since = conversation.unanswered_since
        is_late = bool(after and since and since <= timezone.now() - after)
        if conversation.state == State.PERSON and is_late:
            _give_to_bot(conversation, reason="unanswered", is_timeout=True)


def return_from_agent(conversation_id: int, agent_pk: Any) -> None:
    """Let a conversation wait whose agent may answer no longer; nothing happens if they do not hold it."""
    with _locked(conversation_id) as conversation:
        if conversation.state == State.PERSON and conversation.agent_id == agent_pk:
            conversation.escalation_reason = AGENT_GONE
            _move(conversation, State.WAITING)
            notices.tell_returned(conversation)
            _record(conversation, ESCALATED, reason=AGENT_GONE, message_id=None)
            _answer_soon(conversation)


def release_agent(agent: Any) -> None:
    """Let all conversations wait of somebody who may answer no longer; of somebody who may, or of None, none."""
    if agent is None or agent.pk is None or may_answer(agent):
        return
    held = Conversation.objects.filter(state=State.PERSON, agent=agent.pk)
    for pk in held.values_list("pk", flat=True):
        with suppress(ConversationNotFound):  # deleted meanwhile
            return_from_agent(pk, agent.pk)


def check_own(conversation_id: int, user_id: str, bot: str = "") -> None:
    """Raise ConversationNotFound unless the conversation is the user's own, and with the bot if one is named."""
    if not Conversation.objects.of_user(user_id, bot).filter(pk=conversation_id).exists():
        raise ConversationNotFound


def is_address(text: str) -> bool:
    """Return whether a whole text is an e-mail address."""
    try:
        validate_email(text.strip())
    except ValidationError:
        return False
    return True


def may_answer(agent: Any) -> bool:
    """Return whether a user, as the database has them now, may answer customers: whoever may open the inbox."""
    return may_open_inbox(get_user_model()._default_manager.filter(pk=agent.pk).first()) if agent else False


@contextmanager
def _locked(conversation_id: int) -> Iterator[Conversation]:
    with transaction.atomic():
        conversation = Conversation.objects.lock(conversation_id)
        if conversation is None:
            raise ConversationNotFound
        yield conversation


def _permitted(conversation_id: int, agent: Any) -> Any:
    if not may_answer(agent):
        if agent is not None and agent.pk is not None:
            return_from_agent(conversation_id, agent.pk)
        raise AgentForbidden
    return agent


def _check_free(conversation: Conversation, agent: Any) -> None:
    """Raise ConversationHeld if another person holds the conversation."""
    if conversation.state == State.PERSON and conversation.agent_id not in (None, agent.pk):
        raise ConversationHeld(f"{name_of(conversation.agent)} holds this conversation.")


def _check_holds(conversation: Conversation, agent: Any) -> None:
    _check_free(conversation, agent)
    if conversation.state != State.PERSON or conversation.agent_id != agent.pk:
        raise ConversationConflict(f"Take this conversation over first; its state is {conversation.state!r}.")


def _move(conversation: Conversation, state: str, agent: Any = None) -> None:
    """Set the state and tell open pages of it; raise ConversationConflict."""
    if not conversation.may_become(state) and conversation.state != state:
        raise ConversationConflict(f"A conversation that is {conversation.state!r} cannot become {state!r}.")
    conversation.become(state, agent)
    fields = ["state", "agent", "state_changed_at", "takeovers", "turns", "escalation_reason"]
    conversation.save(update_fields=fields)
    tell_of_state(conversation)


def _give_to_bot(conversation: Conversation, *, reason: str, is_timeout: bool) -> None:
    _move(conversation, State.BOT)
    notices.tell_handed_back(conversation, is_timeout=is_timeout)
    _record(conversation, HANDED_BACK, reason=reason)
    _answer_soon(conversation)


def _answer_soon(conversation: Conversation) -> None:
    """Have the bot answer what the person did not; if the broker is down, the sweep does."""
    if conversation.unanswered_since is not None:
        transaction.on_commit(lambda: enqueue_answer(conversation.pk) and None, robust=True)


def enqueue_answer(conversation_id: int) -> bool:
    """Have a worker answer what a person left to the bot; if the broker is down, the sweep does."""
    otherwise = f"conversation {conversation_id} waits for the sweep"
    return enqueue(ANSWER_UNANSWERED, conversation_id, otherwise=otherwise, queue=MODEL_QUEUE)


def _unanswered_since(conversation: Conversation) -> Any:
    """Return when the last message was written, if it is the customer's; otherwise None."""
    said = conversation.messages.exclude(role=Message.Role.NOTICE)
    last = said.order_by("-id").values_list("role", "created_at").first()
    return last[1] if last and last[0] == Message.Role.USER else None


def _ticket(conversation: Conversation, note: str) -> Ticket:
    customer, _ = Customer.objects.get_or_create(user_id=conversation.user_id)
    return Ticket.objects.open_with_next_number(
        customer=customer,
        subject=conversation.title or " ".join(note.split())[:200],
        status=Ticket.Status.CLOSED,
        note=note,
        conversation=conversation,
    )


def _record(conversation: Conversation, event_type: str, **payload: Any) -> None:
    event = AxiomEvent(
        event_type=event_type,
        entity_id=conversation.user_id,
        payload={"conversation_id": conversation.pk, **payload},
    )
    record_event(event, Event.Source.CHAT)
