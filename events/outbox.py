"""Write events to the outbox, in the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from common.errors import FabraError, InvalidInput
from events.dispatch import enqueue_event, enqueue_events, queue_of
from events.errors import EventConflict
from events.event import AxiomEvent
from events.models import Event
from events.ordering import state_key
from events.signals import recorded


def record_event(event: AxiomEvent, source: str, *, sender: str = "") -> tuple[Event, bool]:
    """Write an event to the outbox in the caller's transaction; it is sent to Celery on commit.

    Return the row and whether it is new. Raise EventConflict if the id exists with another body.
    """
    row, is_new = Event.objects.get_or_create(event_id=event.id, defaults=columns_of(event, source, sender))
    if not is_new and row.digest != event.digest:
        raise EventConflict
    if is_new:
        recorded.send(sender=Event, rows=[row])
        transaction.on_commit(lambda: enqueue_event(row.pk, queue_of(row.event_type)))
    return row, is_new


def new_event(event: AxiomEvent, source: str) -> Event:
    """Return the unsaved row of an event with a newly made id; the caller inserts it and dispatches it on commit."""
    row = Event(event_id=event.id, **columns_of(event, source))
    recorded.send(sender=Event, rows=[row])
    return row


def record_events(
    events: Sequence[AxiomEvent], source: str, *, sender: str = "", published_at: Sequence[datetime] = ()
) -> list[tuple[Event, bool] | FabraError]:
    """Write many events as `record_event` does, in a few statements.

    Return for each event its row and whether it is new, or the error why it was not written: a caller that wants all
    or nothing rolls back.
    """
    checked = [_check(event, source, sender) for event in events]
    ids = {columns["event_id"] for columns in checked if not isinstance(columns, FabraError)}
    known = set(Event.objects.filter(event_id__in=ids).values_list("event_id", flat=True))
    fresh: dict[str, Event] = {}
    for position, columns in enumerate(checked):
        if not isinstance(columns, FabraError) and columns["event_id"] not in known:
            moment = published_at[position] if published_at else None
            fresh.setdefault(columns["event_id"], Event(published_at=moment, **columns))
    # Inserted in the given order, because of two events at one time the higher id is the newer state.
    Event.objects.bulk_create(fresh.values(), ignore_conflicts=True)
    stored = {row.event_id: row for row in Event.objects.filter(event_id__in=ids)}
    results: list[tuple[Event, bool] | FabraError] = []
    for columns in checked:
        if isinstance(columns, FabraError):
            results.append(columns)
        elif stored[columns["event_id"]].digest != columns["digest"]:
            results.append(EventConflict())
        else:
            results.append((stored[columns["event_id"]], fresh.pop(columns["event_id"], None) is not None))
    new = [result[0] for result in results if isinstance(result, tuple) and result[1]]
    recorded.send(sender=Event, rows=new)
    transaction.on_commit(lambda: enqueue_events(new))
    return results


def _check(event: AxiomEvent, source: str, sender: str) -> dict[str, Any] | FabraError:
    try:
        return {"event_id": event.id, **columns_of(event, source, sender)}
    except InvalidInput as error:
        return error


def columns_of(event: AxiomEvent, source: str, sender: str = "") -> dict[str, Any]:
    """Return an event's column values in the outbox; raise InvalidInput or EventTooLarge."""
    return {
        "event_type": event.validate().event_type,
        "entity_id": event.entity_id,
        "payload": event.payload,
        "digest": event.digest,
        "source": source,
        "sender": sender[:100],
        "state_key": state_key(event.event_type, event.entity_id, event.payload),
        "occurred_at": event.occurred_at,
    }
