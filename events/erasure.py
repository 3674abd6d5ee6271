"""Erase what events say: their payloads, the edits of these, and what their handlers reported."""

from datetime import datetime
from typing import Any

from django.db.models import F, Func, JSONField, Q, QuerySet, Value
from django.utils import timezone

from common.errors import InvalidInput
from events.bus import event_of_fields
from events.models import Event, EventEdit, HandlerOutcome, WebhookAttempt, WebhookDelivery
from events.ordering import state_family, state_key

KEPT = ("index", "purge")
"""Keys of a payload that stay: which state is meant, and what was asked for it."""
ERASED_ERROR = "event_erased"
"""Why a delivery of an erased event is given up."""
_ERASED = {"erased": True}


def events_about(key: str, entity_id: str, until: datetime) -> QuerySet[Event]:
    """Return the events about a state that happened up to a time, with the stream entries that were no valid events."""
    of_state = Event.objects.filter(state_key=key, occurred_at__lte=until).exclude(state_key="")
    unreadable = Event.objects.filter(entity_id=entity_id, digest="", occurred_at__lte=until)
    return of_state | unreadable.filter(pk__in=[row.pk for row in unreadable if _is_about(row, key)])


def erase_events(key: str, entity_id: str, until: datetime) -> int:
    """Erase the events about a state that happened up to `until`; return how many said something."""
    return erase_payloads(events_about(key, entity_id, until))


def erase_payloads(events: QuerySet[Event]) -> int:
    """Erase what events say; return how many said something.

    Those that wait or are dead end as superseded: what they would do is over. Webhooks that were not delivered yet are
    given up, and what their receivers answered is erased. The digests stay, so that a repetition is still recognised.
    """
    rows = list(saying_something(events))
    for row in rows:
        row.payload = erased(row)
    Event.objects.bulk_update(rows, ["payload"])
    pks = [row.pk for row in rows]
    EventEdit.objects.filter(event__in=pks).update(before=_ERASED, after=_ERASED)
    HandlerOutcome.objects.filter(event__in=pks).update(detail=None, error="")
    Event.objects.filter(pk__in=pks).exclude(error="").update(error="The text was purged.")
    WebhookDelivery.objects.filter(event__in=pks).give_up(ERASED_ERROR)
    WebhookAttempt.objects.filter(delivery__event__in=pks).update(response="")
    waiting = (Event.State.RECEIVED, Event.State.RETRYING, Event.State.DEAD)
    Event.objects.filter(pk__in=pks, state__in=waiting).update(
        state=Event.State.SUPERSEDED, finished_at=timezone.now()
    )  # fmt: skip
    return len(pks)


def saying_something(events: QuerySet[Event]) -> QuerySet[Event]:
    """Return the events of which a text may be left: in the payload, or in an edit of it."""
    rest = Func(F("payload"), Value(list(KEPT)), arg_joiner=" - ", template="(%(expressions)s::text[])",
                output_field=JSONField())  # fmt: skip
    edited = EventEdit.objects.exclude(before=_ERASED, after=_ERASED).values("event")
    return events.alias(rest=rest).filter(~Q(rest={}) & ~Q(rest=_ERASED) | Q(pk__in=edited))


def erased(event: Event) -> dict[str, Any]:
    """Return what is left of an event's payload."""
    return {name: event.payload[name] for name in KEPT if name in event.payload} | _ERASED


def is_erased(event: Event) -> bool:
    return event.payload.get("erased") is True and event.payload == erased(event)


def _is_about(row: Event, key: str) -> bool:
    """Return whether an unreadable stream entry may be about the state: if it does not say of which index, it may."""
    fields = row.payload.get("stream_fields")
    if not isinstance(fields, dict) or state_family(row.event_type) is None:
        return False
    try:
        event = event_of_fields(row.event_id.removeprefix("stream:"), fields)
        return state_key(event.event_type, event.entity_id, event.payload) == key
    except (InvalidInput, ValueError, AttributeError):
        return True
