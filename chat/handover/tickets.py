"""The ticket of a conversation that a person is asked for: opened with the wish, closed with how it ended."""

from chat.models import Conversation, Customer, Ticket
from common.validation import is_blank

_SUBJECT_MAX_CHARS = 200


def open_ticket(conversation: Conversation) -> Ticket:
    """Return the conversation's open ticket, in the caller's transaction; a new one if it has none."""
    return _open_ticket_of(conversation) or _new_ticket(conversation, Ticket.Status.OPEN, "")


def close_ticket(conversation: Conversation, note: str, *, otherwise: str = "") -> Ticket | None:
    """Close the conversation's open ticket with a note, or with the text `otherwise` where that is blank.

    Without an open one a note stands in the last one, or makes a closed one. Return the ticket that was changed; None
    if there is none.
    """
    ticket = _open_ticket_of(conversation)
    if ticket is None and is_blank(note):
        return None
    ticket = ticket or conversation.tickets.order_by("-number").first()
    if ticket is None:
        return _new_ticket(conversation, Ticket.Status.CLOSED, note)
    ticket.status, ticket.note = Ticket.Status.CLOSED, otherwise if is_blank(note) else note
    ticket.save(update_fields=["status", "note"])
    return ticket


def _open_ticket_of(conversation: Conversation) -> Ticket | None:
    return conversation.tickets.filter(status=Ticket.Status.OPEN).first()


def _new_ticket(conversation: Conversation, status: str, note: str) -> Ticket:
    customer, _ = Customer.objects.get_or_create(user_id=conversation.user_id)
    subject = conversation.title or " ".join(note.split())[:_SUBJECT_MAX_CHARS] or f"Conversation {conversation.pk}"
    return Ticket.objects.open_with_next_number(
        customer=customer, subject=subject, status=status, note=note, conversation=conversation
    )
