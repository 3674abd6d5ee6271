"""The event: something that happened to one entity, at a time."""

import hashlib
import unicodedata
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from common.errors import InvalidInput
from common.validation import check_identity, check_key, to_json
from events.errors import EventTooLarge
from events.models import Event
from events.ordering import state_family

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""PostgreSQL stores times such as those of the year 1, but not every reader can read them back."""


@dataclass(frozen=True, kw_only=True)
class AxiomEvent:
    """Something that happened to one entity.

    Its `entity_id` is normalised to NFC, but for the events of a state, such as `doc_updated`, whose app decides.
    `validate` checks it; until then any value is taken.
    """

    event_type: str
    """At most 200 characters."""
    entity_id: str
    payload: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    """At most 100 characters, by default a UUID; two events with the same id are one event."""
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """With a time zone; at most FABRA_EVENT_MAX_AHEAD from now."""

    def __post_init__(self) -> None:
        if isinstance(self.entity_id, str) and isinstance(self.event_type, str) and not self._is_of_a_state():
            object.__setattr__(self, "entity_id", unicodedata.normalize("NFC", self.entity_id))

    def validate(self) -> "AxiomEvent":
        """Return the event; raise InvalidInput or EventTooLarge if the outbox cannot store it."""
        check_key(self.event_type, "event_type")
        if len(self.event_type) > 200:
            raise InvalidInput("event_type must have at most 200 characters.")
        # The ids of a family's entities are checked by the app that handles it.
        (check_key if self._is_of_a_state() else check_identity)(self.entity_id, "entity_id")
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

    def _is_of_a_state(self) -> bool:
        return state_family(self.event_type) is not None

    @property
    def digest(self) -> str:
        """The SHA-256 of type, entity and payload, by which an id that is sent again with another body is found."""
        body = to_json([self.event_type, self.entity_id, self.payload], "event")
        return hashlib.sha256(body.encode()).hexdigest()

    @classmethod
    def of_row(cls, row: Event) -> "AxiomEvent":
        """Return the event of a row of the outbox."""
        return cls(
            event_type=row.event_type,
            entity_id=row.entity_id,
            payload=row.payload,
            id=row.event_id,
            occurred_at=row.occurred_at,
        )
