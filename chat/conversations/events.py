"""Which events are about which conversation: the one that an event's payload names, if it is of the event's user."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet

from chat.conversations.joining import ids_of
from chat.models import Conversation, JoinedVisitor, Message
from events.models import Event

_LARGEST_KEY = 2**63 - 1


class Naming(NamedTuple):
    """An event, and what it names; where a program has sent it, that may be anything."""

    pk: int
    user_id: str
    conversation: Any
    message: Any


def events_of(conversations: QuerySet[Conversation]) -> QuerySet[Event]:
    """Return the events that are about conversations, or about one of their messages."""
    users = dict(conversations.order_by().values_list("pk", "user_id"))
    messages = list(Message.objects.filter(conversation__in=list(users)).order_by().values_list("pk", flat=True))
    about = Q(payload__conversation_id__in=list(users)) | Q(payload__message_id__in=messages)
    found = Event.objects.filter(about, entity_id__in=[key for key, _ in ids_of({*users.values()})])
    return Event.objects.filter(pk__in=[pk for pk, about in conversations_of(naming(found)).items() if about in users])


def naming(events: QuerySet[Event]) -> list[Naming]:
    """Return what events name; the rest of their payloads is not read."""
    columns = ("pk", "entity_id", "payload__conversation_id", "payload__message_id")
    return [Naming(*row) for row in events.order_by().values_list(*columns)]


def conversations_of(events: Sequence[Naming]) -> dict[int, int]:
    """Return of which conversation an event is, by its key; one that names none of its user's is left out."""
    messages = Message.objects.filter(pk__in=_keys(event.message for event in events)).order_by()
    by_message = dict(messages.values_list("pk", "conversation"))
    named = {*_keys(event.conversation for event in events), *by_message.values()}
    owners = dict(Conversation.objects.filter(pk__in=named).values_list("pk", "user_id"))
    visitors = JoinedVisitor.objects.filter(pk__in={event.user_id for event in events})
    joined = dict(visitors.values_list("pk", "user_id"))
    found = {}
    for event in events:
        ids = {event.user_id, joined.get(event.user_id)}
        candidates = [*_keys([event.conversation]), *(by_message.get(key, 0) for key in _keys([event.message]))]
        own = [key for key in candidates if owners.get(key, "") in ids]
        if own:
            found[event.pk] = own[0]
    return found


def _keys(named: Iterable[Any]) -> list[int]:
    """Return what may be the key of a row."""
    return [key for key in named if type(key) is int and 0 < key <= _LARGEST_KEY]
