"""Events: what they are, and how they get into the outbox."""

import hashlib
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from kombu.exceptions import KombuError

from features import registry
from features.errors import EventConflict, EventTooLarge, InvalidInput
from features.models import Event, KnownEntity
from features.redis_clients import REDIS_ERRORS
from features.text import check_key, to_json

logger = logging.getLogger(__name__)


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
        if self.occurred_at > datetime.now(UTC) + settings.FABRA_EVENT_MAX_AHEAD:
            raise InvalidInput("occurred_at is in the future; check the sender's clock.")
        return self

    @property
    def digest(self) -> str:
        body = to_json([self.event_type, self.entity_id, self.payload], "event")
        return hashlib.sha256(body.encode()).hexdigest()


STATE_FAMILIES = ("doc_",)
"""Events of these families say what an entity now is: an older one never overwrites a newer one."""


def state_family(event_type: str) -> str | None:
    return next((family for family in STATE_FAMILIES if event_type.startswith(family)), None)


def record_event(event: AxiomEvent, source: str, *, is_own: bool = False) -> tuple[Event, bool]:
    """Write an event to the outbox in the caller's transaction; Celery gets it on commit.

    Return the row and whether it is new. `is_own` says that the id was made here, so that nobody can have sent
    it before. Raise EventConflict if the id is known with another body.
    """
    values = {
        "event_type": event.validate().event_type,
        "entity_id": event.entity_id,
        "payload": event.payload,
        "digest": event.digest,
        "source": source,
        "occurred_at": event.occurred_at,
    }
    if is_own:
        row, is_new = Event.objects.create(event_id=event.id, **values), True
    else:
        row, is_new = Event.objects.get_or_create(event_id=event.id, defaults=values)
    if not is_new and row.digest != event.digest:
        raise EventConflict
    if is_new:
        note_entities(row)
        transaction.on_commit(lambda: dispatch(row.pk, queue_of(row.event_type)))
    return row, is_new


def note_entities(row: Event) -> None:
    """Remember the entity that a declared feature's trigger makes of the event's `entity_id`."""
    names = {spec.entity.name for spec in registry.features.values() if spec.trigger == row.event_type}
    for name in names:
        KnownEntity.objects.touch(name, [row.entity_id])


def queue_of(event_type: str) -> str:
    """Return the queue of an event: a changed document does not wait behind a thousand messages."""
    return "state" if state_family(event_type) else "default"


def dispatch(event_pk: int, queue: str | None = None, countdown_s: float = 0) -> None:
    """Tell Celery; if its broker does not answer the sweep of the outbox catches up."""
    from features.tasks import process_event

    try:
        process_event.apply_async((event_pk,), queue=queue, countdown=countdown_s or None)
    except (KombuError, *REDIS_ERRORS) as error:
        logger.warning("The broker does not answer (%s): event %d waits for the sweep.", type(error).__name__, event_pk)


def requeue(event_pks: Sequence[int]) -> int:
    """Process ended events again; return how many."""
    count = Event.objects.filter(pk__in=event_pks).requeue()
    for pk in event_pks:
        transaction.on_commit(partial(dispatch, pk))
    return count
