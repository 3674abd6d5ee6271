"""A feature value with its time: as it is stored, and as it was read."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from features.models import FeatureValue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredValue:
    """What both stores hold of one feature of one entity."""

    value: Any
    event_timestamp: datetime
    """True at."""
    created_at: datetime
    """Learned at."""
    value_id: int | None
    """The row of the offline store."""

    def to_text(self) -> str:
        """Return the online store's form: `[event_us, created_us, id, value]`, the times in microseconds."""
        return json.dumps(
            [to_us(self.event_timestamp), to_us(self.created_at), self.value_id, self.value],
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @classmethod
    def of_row(cls, row: "FeatureValue") -> "StoredValue":
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
    return (moment - _EPOCH) // _MICROSECOND


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureRead:
    """One value as the store served it, with where it came from and how old it is."""

    feature: str
    entity: str
    entity_key: str
    value: Any
    status: str
    """fresh, stale, expired, missing or disabled."""
    source: str
    """online, offline, computed or default."""
    event_timestamp: datetime | None = None
    created_at: datetime | None = None
    age_s: float | None = None
    value_id: int | None = None
    is_degraded: bool = False
    """Redis did not answer, so PostgreSQL or the function did."""
    error: str = ""
    """The class of what the function raised, when an older value or the default stands in for it."""
