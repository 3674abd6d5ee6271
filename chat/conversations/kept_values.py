"""What features have kept of conversations: the values that their events led to, and the user's support history."""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import Q, QuerySet

from chat.conversations.joining import ids_of
from chat.models import Conversation, Message, Ticket
from common.errors import FabraError
from common.redis import REDIS_ERRORS
from events.models import Event
from features.compute import run_function
from features.erasure import ErasedValue, erase_online, erase_values
from features.models import FeatureValue
from features.registry import features
from features.value_writer import write_values

logger = logging.getLogger(__name__)

SUPPORT_HISTORY = "support_history"
"""The feature that reads the tickets, as `chat.definitions` declares it."""


def events_of(conversation: Conversation) -> QuerySet[Event]:
    """Return the events that are about a conversation, or about one of its messages."""
    messages = list(Message.objects.filter(conversation=conversation.pk).values_list("pk", flat=True))
    about = Q(payload__conversation_id=conversation.pk) | Q(payload__message_id__in=messages)
    return Event.objects.filter(about, entity_id__in=ids_of(conversation.user_id))


def erase_kept_values(conversations: QuerySet[Conversation]) -> list[ErasedValue]:
    """Erase what features have kept of conversations, in a transaction in which these are still there.

    Of the support history goes all that was learned since a ticket was opened, for each value since then may have it.
    """
    erased: list[ErasedValue] = []
    for conversation in conversations.prefetch_related("tickets"):
        kept = FeatureValue.objects.filter(event__in=events_of(conversation))
        erased += erase_values(FeatureValue.objects.filter(pk__in=list(kept.values_list("pk", flat=True))))
        if tickets := list(conversation.tickets.all()):
            erased += erase_values(_support_history_since(tickets, ids_of(conversation.user_id)))
    return list(dict.fromkeys(erased))


def _support_history_since(tickets: Sequence[Ticket], keys: Sequence[str]) -> QuerySet[FeatureValue]:
    opened = min(ticket.created_at for ticket in tickets)
    values = FeatureValue.objects.filter(feature=SUPPORT_HISTORY, entity_key__in=keys, created_at__gte=opened)
    spec = features.get(SUPPORT_HISTORY)
    return values.filter(entity=spec.entity.name) if spec else values


def erase_values_of(event: Event) -> None:
    """Erase what an event led to, whose conversation was deleted while its handler ran."""
    with transaction.atomic():
        erased = erase_values(FeatureValue.objects.filter(event=event.pk))
    renew(erased)


def renew(erased: Collection[ErasedValue]) -> bool:
    """Delete what Redis has of erased values, and compute the support histories among them anew.

    Call it after the transaction. Return False if Redis does not answer: the sweep deletes it there later.
    """
    try:
        erase_online(erased)
    except REDIS_ERRORS as error:
        logger.warning("%d erased values are erased in Redis later: %s", len(erased), type(error).__name__)
        return False
    _renew_support_history(erased)
    return True


def _renew_support_history(erased: Collection[ErasedValue]) -> None:
    """Compute the support histories from the tickets that are left, instead of at their next refresh."""
    spec = features.get(SUPPORT_HISTORY)
    keys = {value.entity_key for value in erased if spec and value.feature == spec.name}
    for key in sorted(keys):
        assert spec is not None
        try:
            value = async_to_sync(run_function)(spec, key)
            now = datetime.now(UTC)
            async_to_sync(write_values)(spec, {key: value}, event_timestamp=now, source=FeatureValue.Source.COMPUTED)
        except FabraError as error:  # it is computed at its next refresh
            logger.warning("The support history of a user is not renewed yet: %s", error.code)
