"""Edit dead events and process them again."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from common.errors import InvalidInput
from events.bus import event_of_fields
from events.dispatch import enqueue_events
from events.models import Event, EventEdit
from events.ordering import state_key
from events.outbox import columns_of

_DISPATCHED_AT_ONCE = 1000
"""If more events than this are requeued, the sweep enqueues the rest."""


def edit_payload(event: Event, payload: dict[str, Any], edited_by: str) -> bool:
    """Change a dead event's payload and store the previous one; return whether anything changed.

    The digest stays that of the body as sent, so that a repetition by the sender is still recognised.
    """
    with transaction.atomic():
        row = Event.objects.select_for_update().filter(pk=event.pk, state=Event.State.DEAD).first()
        if row is None or row.payload == payload:
            return False
        EventEdit.objects.create(event=row, before=row.payload, after=payload, edited_by=edited_by)
        row.payload = payload
        if not is_unreadable_entry(row):
            row.state_key = state_key(row.event_type, row.entity_id, payload)
        row.save(update_fields=["payload", "state_key"])
    return True


def requeue(events: QuerySet[Event]) -> int:
    """Process ended events again and return how many; handlers that succeeded do not run again.

    A stream entry that was no valid event is parsed again, and stays dead if it still is none.
    """
    with transaction.atomic():
        for row in events.filter(state=Event.State.DEAD, digest=""):
            revive(row)
        pks = list(events.exclude(state=Event.State.DEAD, digest="").values_list("pk", flat=True))
        count = Event.objects.filter(pk__in=pks).requeue()
        rows = list(Event.objects.filter(pk__in=pks[:_DISPATCHED_AT_ONCE]).only("event_type"))
        transaction.on_commit(lambda: enqueue_events(rows))
    return count


def is_unreadable_entry(event: Event) -> bool:
    """Return whether the row is a stream entry that is no valid event."""
    return not event.digest


def revive(row: Event) -> None:
    """Parse the row's stream entry again and, if it is a valid event now, make the row that event."""
    entry_id = row.event_id.removeprefix("stream:")
    fields = row.payload.get("stream_fields")
    if not isinstance(fields, dict):
        return
    try:
        event = event_of_fields(entry_id, {str(key): str(value) for key, value in fields.items()})
        columns = columns_of(event, row.source, row.sender)
    except InvalidInput as error:
        Event.objects.filter(pk=row.pk).update(error=str(error))
        return
    if not Event.objects.filter(event_id=event.id).exists():
        columns["event_id"] = event.id
    Event.objects.filter(pk=row.pk).update(**columns)
