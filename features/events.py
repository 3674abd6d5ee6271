"""Events: what they are, and how they get into the outbox."""

import hashlib
import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from kombu.exceptions import KombuError

from features import registry
from features.errors import EventConflict, EventTooLarge, FabraError, InvalidInput
from features.models import Event, KnownEntity
from features.redis_clients import REDIS_ERRORS, plain_redis, redis_key
from features.text import check_key, to_json

logger = logging.getLogger(__name__)

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""Times of the year 1 and their like can be written to PostgreSQL, and not read from it everywhere."""


@dataclass(frozen=True, kw_only=True)
class AxiomEvent:
    """Something that happened to one entity."""

    event_type: str
    entity_id: str
    payload: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    """The same id twice is one event."""
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def validate(self) -> "AxiomEvent":
        """Return the event; raise InvalidInput or EventTooLarge for what the outbox cannot hold."""
        check_key(self.event_type, "event_type")
        if len(self.event_type) > 200:
            raise InvalidInput("event_type must have at most 200 characters.")
        check_key(self.entity_id, "entity_id")
        check_key(self.id, "id")
        if len(self.id) > 100:
            raise InvalidInput("id must have at most 100 characters.")
        if not isinstance(self.payload, dict):
            raise InvalidInput("payload must be an object.")
        if len(to_json(self.payload, "payload").encode()) > settings.FABRA_EVENT_MAX_BYTES:
            raise EventTooLarge(f"payload must have at most {settings.FABRA_EVENT_MAX_BYTES} bytes of JSON.")
        if not isinstance(self.occurred_at, datetime) or self.occurred_at.tzinfo is None:
            raise InvalidInput("occurred_at must be a time with a timezone.")
        if self.occurred_at < _EARLIEST:
            raise InvalidInput(f"occurred_at must not be before {_EARLIEST.year}.")
        if self.occurred_at > datetime.now(UTC) + settings.FABRA_EVENT_MAX_AHEAD:
            raise InvalidInput("occurred_at is in the future; check the sender's clock.")
        return self

    @property
    def digest(self) -> str:
        body = to_json([self.event_type, self.entity_id, self.payload], "event")
        return hashlib.sha256(body.encode()).hexdigest()


STATE_QUEUE, DEFAULT_QUEUE = "state", "default"

STATE_FAMILIES: dict[str, Callable[[dict[str, Any]], str]] = {"doc_": lambda payload: ""}
"""Events of these families say what something now is: an older one never overwrites a newer one.

The function tells from the payload which of an entity's states is meant, such as the index it is a document of.
"""


def state_family(event_type: str) -> str | None:
    return next((family for family in STATE_FAMILIES if event_type.startswith(family)), None)


def state_key(event_type: str, entity_id: str, payload: dict[str, Any]) -> str:
    """Return what the event tells the state of; events with the same key are applied in their order."""
    family = state_family(event_type)
    if family is None:
        return ""
    scope = STATE_FAMILIES[family](payload)
    return f"{family}{len(scope)}:{scope}:{entity_id}"  # with its length, since either part may hold a colon


def record_event(event: AxiomEvent, source: str, *, sender: str = "") -> tuple[Event, bool]:
    """Write an event to the outbox in the caller's transaction; Celery gets it on commit.

    Return the row and whether it is new. Raise EventConflict if the id is known with another body.
    """
    row, is_new = Event.objects.get_or_create(event_id=event.id, defaults=columns_of(event, source, sender))
    if not is_new and row.digest != event.digest:
        raise EventConflict
    if is_new:
        note_entities([row])
        transaction.on_commit(lambda: dispatch(row.pk, queue_of(row.event_type)))
    return row, is_new


def new_event(event: AxiomEvent, source: str) -> Event:
    """Return the row of an event whose id was made here, for the caller to insert and, committed, to dispatch."""
    row = Event(event_id=event.id, **columns_of(event, source))
    note_entities([row])
    return row


def record_events(
    events: Sequence[AxiomEvent], source: str, *, sender: str = "", published_at: Sequence[datetime] = ()
) -> list[tuple[Event, bool] | FabraError]:
    """Write many events as `record_event` does, in a few statements.

    Return for each its row and whether it is new, or why it was not written: a caller that wants all or nothing
    rolls back.
    """
    checked = [_check(event, source, sender) for event in events]
    ids = {columns["event_id"] for columns in checked if not isinstance(columns, FabraError)}
    known = set(Event.objects.filter(event_id__in=ids).values_list("event_id", flat=True))
    fresh: dict[str, Event] = {}
    for position, columns in enumerate(checked):
        if not isinstance(columns, FabraError) and columns["event_id"] not in known:
            moment = published_at[position] if published_at else None
            fresh.setdefault(columns["event_id"], Event(published_at=moment, **columns))
    # In the order given: of two events at one time the later row is the newer state.
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
    note_entities(new)
    transaction.on_commit(lambda: dispatch_all(new))
    return results


def _check(event: AxiomEvent, source: str, sender: str) -> dict[str, Any] | FabraError:
    try:
        return {"event_id": event.id, **columns_of(event, source, sender)}
    except InvalidInput as error:
        return error


def columns_of(event: AxiomEvent, source: str, sender: str = "") -> dict[str, Any]:
    """Return the outbox's columns of an event; raise InvalidInput or EventTooLarge."""
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


def note_entities(rows: Sequence[Event]) -> None:
    """Remember the entities that the declared features' triggers make of the events' `entity_id`."""
    keys: dict[str, set[str]] = {}
    for row in rows:
        for spec in registry.features.values():
            if spec.trigger == row.event_type:
                keys.setdefault(spec.entity.name, set()).add(row.entity_id)
    for name, entity_keys in keys.items():
        KnownEntity.objects.touch(name, sorted(entity_keys))


def queue_of(event_type: str) -> str:
    """Return the queue of an event: a changed document does not wait behind a thousand messages."""
    return STATE_QUEUE if state_family(event_type) else DEFAULT_QUEUE


def dispatch(event_pk: int, queue: str, countdown_s: float = 0, **arguments: Any) -> bool:
    """Tell Celery, and return whether its broker took it; if not the sweep of the outbox catches up."""
    from features.tasks import process_event

    try:
        process_event.apply_async((event_pk,), arguments, queue=queue, countdown=countdown_s or None)
    except (KombuError, *REDIS_ERRORS) as error:
        logger.warning("The broker does not answer (%s): event %d waits for the sweep.", type(error).__name__, event_pk)
        return False
    return True


def messages_in(queue: str) -> int:
    """Return how many messages wait in the broker's queue; 0 where it does not answer."""
    try:
        return int(plain_redis(settings.FABRA_REDIS_TIMEOUT_S).llen(redis_key("celery", queue)))
    except REDIS_ERRORS:
        return 0


def dispatch_all(rows: Iterable[Event]) -> None:
    """Tell Celery of many events; a broker that does not answer is asked once."""
    for row in rows:
        if not dispatch(row.pk, queue_of(row.event_type)):
            return
