"""A visitor signs in: what they said before becomes the user's."""

from collections.abc import Collection

from django.db import transaction
from django.db.models.functions import Now

from chat.errors import StillAnswering
from chat.models import Conversation, Customer, Feedback, JoinedVisitor, Message, Ticket
from contexts.traces import move_traces


def join(visitor: str, user_id: str) -> int:
    """Make the conversations of a visitor those of a user; return how many there were.

    It happens once for each visitor: whoever else signs in with their session gets nothing. For the same user it may be
    repeated, which brings along what another tab still said as the visitor. Raise StillAnswering while the bot answers
    the visitor, because the answer would be stored as theirs.
    """
    with transaction.atomic():
        # The primary key has one of two at once wait for the other.
        joined, _ = JoinedVisitor.objects.get_or_create(pk=visitor, defaults={"user_id": user_id})
        if joined.user_id != user_id:
            return 0
        own = Conversation.objects.select_for_update().filter(user_id=visitor)
        ids = list(own.order_by("pk").values_list("pk", flat=True))
        if Conversation.objects.filter(pk__in=ids, queue__len__gt=0, lease_until__gt=Now()).exists():
            raise StillAnswering
        for model in (Message, Feedback):
            model.objects.filter(user_id=visitor).update(user_id=user_id)
        Conversation.objects.filter(pk__in=ids).update(user_id=user_id)
        if Ticket.objects.filter(customer__user_id=visitor).exists():
            customer, _ = Customer.objects.get_or_create(user_id=user_id)
            Ticket.objects.filter(customer__user_id=visitor).update(customer=customer)
        move_traces(visitor, user_id)
    return len(ids)


def ids_of(user_ids: Collection[str]) -> list[tuple[str, str]]:
    """Return the ids under which users' events and messages may stand, each with its user's.

    They are the users' own, and those of joined visitors.
    """
    visitors = JoinedVisitor.objects.filter(user_id__in=user_ids).values_list("pk", "user_id")
    return [*((user_id, user_id) for user_id in user_ids), *visitors] if user_ids else []
