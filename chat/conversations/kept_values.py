"""What features have kept of conversations: the values that their events led to, and the user's support history."""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import Q, QuerySet

from chat.conversations.events import conversations_of, events_of, naming
from chat.conversations.joining import ids_of
from chat.models import Conversation
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


def keep_conversation(events: QuerySet[Event], **kwargs: Any) -> None:
    """Note of which conversation the values of events are that are pruned: its deletion could not find them any more.

    Conversations are kept longer than events, of which a note is but a small part.
    """
    # The keys themselves: beside a subquery PostgreSQL does not use the index of the values that have an event.
    pks = list(events.values_list("pk", flat=True))
    with_values = FeatureValue.objects.filter(event__in=pks).values("event")
    conversations = conversations_of(naming(events.filter(pk__in=with_values)))
    rows = list(FeatureValue.objects.filter(event__in=list(conversations)).only("event"))
    for row in rows:
        row.about, row.event = _about(conversations[row.event_id or 0]), None
    FeatureValue.objects.bulk_update(rows, ["about", "event"])


def _about(conversation_pk: int) -> str:
    return f"conversation:{conversation_pk}"


def erase_kept_values(conversations: QuerySet[Conversation]) -> list[ErasedValue]:
    """Erase what features have kept of conversations, in a transaction in which these are still there.

    Of the support history goes all that was learned since a ticket was opened, for each value since then may have it.
    """
    found = list(conversations.prefetch_related("tickets"))
    events = list(events_of(conversations).values_list("pk", flat=True))
    about = [_about(conversation.pk) for conversation in found]
    kept = [FeatureValue.objects.filter(event__in=events), FeatureValue.objects.filter(about__in=about)]
    pks = {pk for values in (*kept, _support_history_of(found)) for pk in values.values_list("pk", flat=True)}
    return erase_values(FeatureValue.objects.filter(pk__in=pks)) if pks else []


def _support_history_of(conversations: Sequence[Conversation]) -> QuerySet[FeatureValue]:
    """Return what was learned of their users' support histories since each one's first ticket of these was opened."""
    opened: dict[str, datetime] = {}
    for conversation in conversations:
        moments = [ticket.created_at for ticket in conversation.tickets.all()]
        if moments:
            opened[conversation.user_id] = min([*moments, opened.get(conversation.user_id, moments[0])])
    since = [Q(entity_key=key, created_at__gte=opened[user_id]) for key, user_id in ids_of(opened)]
    if not since:
        return FeatureValue.objects.none()
    values = FeatureValue.objects.filter(reduce(or_, since), feature=SUPPORT_HISTORY)
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
