"""Feature values with their times: as they are stored, and as they are read."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from features.models import FeatureValue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredValue:
    """The value of one feature of one entity, as both stores hold it."""

    value: Any
    """In JSON's own types."""
    event_timestamp: datetime
    """When the value was true."""
    created_at: datetime
    """When the value was learned."""
    value_id: int | None
    """The primary key of its row in the offline store."""

    def to_text(self) -> str:
        """Return the online store's form: `[event_us, created_us, id, value]`, the times in microseconds."""
        return json.dumps(
            [to_us(self.event_timestamp), to_us(self.created_at), self.value_id, self.value],
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @classmethod
    def of_row(cls, row: FeatureValue) -> "StoredValue":
        return cls(value=row.value, event_timestamp=row.event_timestamp, created_at=row.created_at, value_id=row.pk)

    @classmethod
    def from_text(cls, text: str) -> "StoredValue":
        event_us, created_us, value_id, value = json.loads(text)
        return cls(
            value=value,
            event_timestamp=_EPOCH + timedelta(0, 0, event_us),
            created_at=_EPOCH + timedelta(0, 0, created_us),
            value_id=value_id,
        )


def to_us(moment: datetime) -> int:
    """Return a moment in microseconds since 1970 (UTC)."""
    return (moment - _EPOCH) // _MICROSECOND


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureRead:
    """One value as the store served it, with its source and its age."""

    feature: str
    entity: str
    entity_key: str
    value: Any
    """In the type that the feature declares."""
    stored: Any
    """The same in JSON's own types."""
    status: str
    """fresh, stale, expired, missing or disabled."""
    source: str
    """online, offline, computed, on_demand or default."""
    event_timestamp: datetime | None = None
    created_at: datetime | None = None
    age_s: float | None = None
    value_id: int | None = None
    is_degraded: bool = False
    """Whether Redis did not answer, so that the value comes from PostgreSQL or from the function."""
    error: str = ""
    """The class of the function's exception, when an older value or the default is served instead."""
