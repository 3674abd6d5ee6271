"""What changes who answers in a conversation: the only code that sets its state.

Each function is one transaction with the state, a line that the customer sees and an event; open pages are told after
it. Functions for a person take a user of Django's, whose permission is read anew: one who lost it is refused with
AgentForbidden, and what they held waits for somebody else.
"""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from chat.access.permissions import REASSIGN_CONVERSATION, may_open_inbox
from chat.dispatch import enqueue_answer
from chat.errors import (
    AgentForbidden,
    ConversationConflict,
    ConversationHeld,
    ConversationNotFound,
    HandoverOff,
    InvalidAgent,
    InvalidMessage,
)
from chat.gaps.marking import last_answered_question
from chat.handover import notices
from chat.handover.steps import HANDED_BACK, end, give_to, locked, move, record, wait
from chat.handover.tickets import close_ticket
from chat.live.bodies import staff_name_of
from chat.live.changes import publish_inbox, publish_message
from chat.models import Conversation, HandoverSettings, Message, reasons
from common.validation import check_text, is_blank

NOTE_MAX_CHARS = 5000

State = Conversation.State

_OUTCOMES = {
    reasons.BY_AGENT: "Handed back to the assistant.",
    reasons.WITHDRAWN: "The customer went back to the assistant.",
}
"""What stands in the ticket of a conversation that the bot got back."""


def escalate(conversation_id: int, reason: str, *, message_id: int | None = None) -> Conversation:
    """Ask for a person; one who is asked or there already is not asked again.

    `message_id` is the customer's message that it is about; for one who asks themselves it is found here. Raise
    ConversationNotFound, HandoverOff where nobody is asked for this reason, or ConversationConflict for a closed
    conversation.
    """
    with locked(conversation_id) as conversation:
        if conversation.state in (State.WAITING, State.PERSON):
            return conversation
        rules = HandoverSettings.load()
        if conversation.state != State.CLOSED and not rules.allows(reason):
            raise HandoverOff(rules.nobody_joins)
        if message_id is None and reason == reasons.CUSTOMER_ASKED:
            question = last_answered_question(conversation_id)
            message_id = question.pk if question else None
        wait(conversation, reason, message_id=message_id)
        notices.notify_escalated(conversation)
    return conversation


def ask_again(conversation_id: int) -> Message:
    """Tell a customer who asks for a person, and waits for one already, how it stands."""
    with locked(conversation_id) as conversation:
        return notices.notify_still_waiting(conversation)


def assign(conversation_id: int, agent: Any) -> Conversation:
    """Give the conversation to a person; the bot is silent from now on, and an answer that it began is dropped.

    Raise ConversationNotFound, AgentForbidden, ConversationHeld, or ConversationConflict for a closed conversation.
    """
    agent = _permitted(conversation_id, agent)
    with locked(conversation_id) as conversation:
        if conversation.state == State.PERSON and conversation.agent_id == agent.pk:
            return conversation
        _check_free(conversation, agent)
        give_to(conversation, agent, by=agent)
    return conversation


def transfer(conversation_id: int, by: Any, to: Any | None) -> Conversation:
    """Give the conversation to another person who may answer, or with None to whoever takes it from the queue.

    What a colleague holds is passed on by whoever may reassign. Repeated, it changes nothing.

    Raise ConversationNotFound, AgentForbidden, ConversationHeld, InvalidAgent for somebody who may not answer, or
    ConversationConflict for a closed conversation.
    """
    by = _permitted(conversation_id, by)
    if to is not None and not may_answer(to):
        raise InvalidAgent(f"{to.get_username()} may not answer customers.")
    with locked(conversation_id) as conversation:
        is_held = conversation.state == State.PERSON
        if (to is None and conversation.state == State.WAITING) or (to and is_held and conversation.agent_id == to.pk):
            return conversation
        _check_may_end(conversation, by)
        if to is not None:
            give_to(conversation, to, by=by)
            return conversation
        wait(conversation, reasons.PASSED_BACK if is_held else reasons.BY_AGENT, by=by)
        (notices.notify_returned if is_held else notices.notify_escalated)(conversation)
        _answer_soon(conversation)
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
    with locked(conversation_id) as conversation:
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
        publish_message(message)
        publish_inbox(conversation)
    return message


def hand_back(conversation_id: int, agent: Any) -> Conversation:
    """Let the bot go on, which answers the customer's last message if nobody has; repeated, it changes nothing.

    Whoever holds the conversation may, and who may reassign; while it waits, everybody who may answer. Raise as
    `assign` does.
    """
    agent = _permitted(conversation_id, agent)
    with locked(conversation_id) as conversation:
        if conversation.state == State.BOT:
            return conversation
        _check_may_end(conversation, agent)
        _give_to_bot(conversation, reason=reasons.BY_AGENT, is_timeout=False)
    return conversation


def withdraw(conversation_id: int) -> Conversation:
    """Take back the customer's wish for a person while nobody has come; the bot goes on. Repeated, it changes nothing.

    Raise ConversationNotFound, or ConversationConflict where a person answers already, or for a closed conversation.
    """
    with locked(conversation_id) as conversation:
        if conversation.state == State.BOT:
            return conversation
        if conversation.state != State.WAITING:
            raise ConversationConflict(f"Nobody is waited for in a conversation whose state is {conversation.state!r}.")
        _give_to_bot(conversation, reason=reasons.WITHDRAWN, is_timeout=False)
    return conversation


def close(conversation_id: int, agent: Any, note: str = "") -> Conversation:
    """End the conversation; a note is kept in a closed ticket of the customer's. Repeated, it changes nothing.

    Raise ConversationNotFound, AgentForbidden, ConversationHeld, or InvalidMessage for a note that is too long.
    """
    if len(check_text(note, "note")) > NOTE_MAX_CHARS:
        raise InvalidMessage(f"note must have at most {NOTE_MAX_CHARS} characters.")
    agent = _permitted(conversation_id, agent)
    with locked(conversation_id) as conversation:
        if conversation.state == State.CLOSED:
            return conversation
        _check_may_end(conversation, agent)
        end(conversation, reasons.BY_AGENT, agent=agent, note=note, otherwise=f"Closed by {agent.get_username()}.")
    return conversation


def close_idle(conversation_id: int) -> None:
    """End a conversation that waits or has a person, and in which nobody wrote; checked again under the lock."""
    after = HandoverSettings.load().close_after
    with locked(conversation_id) as conversation:
        since = max(conversation.state_changed_at, conversation.last_message_at)
        if after and conversation.state in (State.WAITING, State.PERSON) and since <= timezone.now() - after:
            end(conversation, reasons.IDLE, otherwise=f"Closed without a message for {after.days} days.")


def return_from_person(conversation_id: int) -> None:
    """Let the bot go on where a person left the customer unanswered too long; checked again under the lock."""
    after = HandoverSettings.load().unanswered_after
    with locked(conversation_id) as conversation:
        # Whoever takes it over has the whole time, however long the customer has waited before.
        since = conversation.unanswered_since and max(conversation.unanswered_since, conversation.state_changed_at)
        is_late = bool(after and since and since <= timezone.now() - after)
        if conversation.state == State.PERSON and is_late:
            _give_to_bot(conversation, reason=reasons.UNANSWERED, is_timeout=True)


def return_from_agent(conversation_id: int, agent_pk: Any) -> None:
    """Let a conversation wait whose agent may answer no longer; nothing happens if they do not hold it."""
    with locked(conversation_id) as conversation:
        if conversation.state == State.PERSON and conversation.agent_id == agent_pk:
            wait(conversation, reasons.AGENT_GONE)
            notices.notify_returned(conversation)
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


def may_answer(agent: Any) -> bool:
    """Return whether a user, as the database has them now, may answer customers: whoever may open the inbox."""
    return _answering(agent) is not None


def _answering(agent: Any) -> Any:
    """Return the user as the database has them now, if they may answer customers; otherwise None."""
    user = get_user_model()._default_manager.filter(pk=agent.pk).first() if agent else None
    return user if may_open_inbox(user) else None


def _permitted(conversation_id: int, agent: Any) -> Any:
    answering = _answering(agent)
    if answering is None:
        if agent is not None and agent.pk is not None:
            return_from_agent(conversation_id, agent.pk)
        raise AgentForbidden
    return answering


def _check_free(conversation: Conversation, agent: Any) -> None:
    """Raise ConversationHeld if another person holds the conversation."""
    if conversation.state == State.PERSON and conversation.agent_id not in (None, agent.pk):
        raise ConversationHeld(f"{staff_name_of(conversation.agent)} holds this conversation.")


def _check_may_end(conversation: Conversation, agent: Any) -> None:
    """Raise ConversationHeld if another person holds it, and this one may not reassign what a colleague holds."""
    if not agent.has_perm(REASSIGN_CONVERSATION):
        _check_free(conversation, agent)


def _check_holds(conversation: Conversation, agent: Any) -> None:
    _check_free(conversation, agent)
    if conversation.state != State.PERSON or conversation.agent_id != agent.pk:
        raise ConversationConflict(f"Take this conversation over first; its state is {conversation.state!r}.")


def _give_to_bot(conversation: Conversation, *, reason: str, is_timeout: bool) -> None:
    move(conversation, State.BOT)
    # What nobody answered stays to be done: its ticket is open until somebody closes it.
    ticket = None if is_timeout else close_ticket(conversation, "", otherwise=_OUTCOMES[reason])
    notices.notify_handed_back(conversation, is_timeout=is_timeout)
    record(conversation, HANDED_BACK, reason=reason, ticket=ticket.number if ticket else None)
    _answer_soon(conversation)


def _answer_soon(conversation: Conversation) -> None:
    """Have the bot answer what the person did not; if the broker is down, the sweep does."""
    if conversation.unanswered_since is not None:
        transaction.on_commit(lambda: enqueue_answer(conversation.pk) and None, robust=True)
