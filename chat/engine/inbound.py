"""Messages of customers that no model is asked for: to a person, for a person, or with an address."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from chat.engine.records import SentBefore, is_sent_before, message_of, new_conversation, sent_event
from chat.errors import HandoverOff
from chat.handover import actions, notices
from chat.handover.contacts import address_in, is_mistyped_address, keep_contact
from chat.handover.wishes import wants_person
from chat.limits.admission import Admission
from chat.live.changes import publish_inbox, publish_message
from chat.models import Conversation, Message, Reservation, reasons
from chat.phrases.known import known_phrases
from chat.turns.lease import ConversationLease
from chat.turns.turn import Answer, Question
from events.models import Event
from events.outbox import record_event

State = Conversation.State


def needs_no_model(question: Question, lease: ConversationLease, admission: Admission) -> bool:
    if question.stored_id is not None:
        return False
    if lease.state == State.PERSON or wants_person(question.message, known_phrases()):
        return True
    if lease.state == State.WAITING and admission.refused:
        return True
    return _is_contact(question, lease) or _is_mistyped(question, lease)


def is_for_person(question: Question) -> bool:
    """Return whether a person is to read the message: one who holds its conversation, is waited for, or is wished for.

    Until it has the lease that may change.
    """
    if question.stored_id is not None:
        return False
    if wants_person(question.message, known_phrases()):
        return True
    if question.conversation_id is None:
        return False
    own = Conversation.objects.filter(pk=question.conversation_id, user_id=question.user_id)
    return own.filter(state__in=(State.PERSON, State.WAITING)).exists()


def receive(question: Question, lease: ConversationLease, admission: Admission) -> Answer | None:
    """Store the message, in one transaction with what it changes, and return the answer to it.

    Return None, with nothing stored, if the conversation changed hands meanwhile; raise SentBefore.
    """
    try:
        with transaction.atomic():
            conversation = _conversation(question, lease)
            if conversation is None:
                return None
            told = []
            if lease.was_closed:
                told.append(notices.reopened_notice(conversation))
                told[0].save()
            message = _store(question, conversation, admission)
            if lease.state == State.PERSON:
                return _answer(message, lease, told)
            told.append(_change(question, lease, conversation))
    except IntegrityError as error:
        if is_sent_before(error):
            raise SentBefore(Message.objects.get(user_id=question.user_id, client_id=question.client_id)) from error
        raise
    return _answer(message, lease, told)


def _is_contact(question: Question, lease: ConversationLease) -> bool:
    return lease.state == State.WAITING and bool(address_in(question.message))


def _is_mistyped(question: Question, lease: ConversationLease) -> bool:
    return lease.state == State.WAITING and is_mistyped_address(question.message)


def _conversation(question: Question, lease: ConversationLease) -> Conversation | None:
    """Return the conversation, locked or new; None if it is not as it was when the message came."""
    if lease.conversation_id is None:
        conversation = new_conversation(question)
        conversation.save()
        return conversation
    locked = Conversation.objects.lock(lease.conversation_id)
    if locked is None or (locked.state, locked.takeovers) != (lease.state, lease.takeovers):
        return None
    return locked


def _store(question: Question, conversation: Conversation, admission: Admission) -> Message:
    message = message_of(question, conversation, admission)
    message.save()
    conversation.last_message_at = timezone.now()
    if conversation.state == State.PERSON and conversation.unanswered_since is None:
        conversation.unanswered_since = message.created_at
    conversation.save(update_fields=["last_message_at", "unanswered_since"])
    record_event(sent_event(message), Event.Source.CHAT)
    if admission.is_degraded:  # from now on the message itself is counted
        Reservation.objects.filter(token=admission.token).delete()
    publish_message(message)
    publish_inbox(conversation)
    return message


def _change(question: Question, lease: ConversationLease, conversation: Conversation) -> Message:
    """Do what the customer wishes, and return the line that says so."""
    address = address_in(question.message)
    if _is_contact(question, lease):
        if conversation.contact == address:
            return notices.notify_contact(conversation)
        keep_contact(conversation.pk, address)
    elif _is_mistyped(question, lease):
        return notices.notify_no_address(conversation)
    elif lease.state == State.WAITING:
        return actions.ask_again(conversation.pk)
    else:
        if address:
            keep_contact(conversation.pk, address)
        try:
            actions.escalate(conversation.pk, reasons.CUSTOMER_ASKED)
        except HandoverOff:
            return notices.notify_no_person(conversation)
    return conversation.messages.filter(role=Message.Role.NOTICE).latest("pk")


def _answer(message: Message, lease: ConversationLease, told: list[Message]) -> Answer:
    if lease.state == State.PERSON:
        return Answer.without_model(
            conversation_id=message.conversation_id, message_id=message.pk, question_id=message.pk, state=State.PERSON,
        )  # fmt: skip
    *before, notice = told
    return Answer.without_model(
        response=notice.text,
        flags=notice.flags,
        conversation_id=message.conversation_id,
        message_id=notice.pk,
        question_id=message.pk,
        state=State.BOT if notices.NO_PERSON in notice.flags else State.WAITING,
        notices=[notice.text for notice in before],
        conversation_was_closed=lease.was_closed,
    )
