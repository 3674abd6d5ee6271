"""Point-in-time reads of the offline store: values that were true at a moment, and known by then."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection

from common.errors import InvalidInput
from common.validation import check_identity
from features import registry
from features.registry import FeatureSpec

_EVER = datetime(1, 1, 2, tzinfo=UTC)

# One index descent for each requested row: the newest value that was true at `at` and learned by `known`.
# It holds if it is not older than its ttl, or was confirmed since.
_POINT_IN_TIME = """
SELECT requested.n, v.value, v.event_timestamp >= requested.since OR EXISTS (
    SELECT
    FROM features_featureconfirmation c
    WHERE c.feature = %s AND c.moment BETWEEN requested.since AND requested.at
      AND c.first_key <= requested.entity_key AND c.last_key >= requested.entity_key
      AND c.value_ids @> coalesce(v.confirmed_as, v.id)
      AND (requested.known IS NULL OR c.created_at <= requested.known)
)
FROM unnest(%s::int[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    AS requested(n, entity_key, since, at, known)
JOIN LATERAL (
    SELECT id, value, event_timestamp, confirmed_as
    FROM features_featurevalue v
    WHERE v.entity = %s AND v.entity_key = requested.entity_key AND v.feature = %s
      AND v.event_timestamp <= requested.at
      AND (requested.known IS NULL OR v.created_at <= requested.known)
    ORDER BY v.event_timestamp DESC, v.created_at DESC, v.id DESC
    LIMIT 1
) v ON true
"""


async def get_historical_features(
    entity_rows: Sequence[Mapping[str, Any]], features: Sequence[str], known_at: datetime | None = None
) -> list[dict[str, Any]]:
    """Return each row with the features as they were at its `event_timestamp`, point-in-time.

    A row contains the entity key under the entity's field (such as `user_id`) and an aware `event_timestamp`.
    A value that was last computed longer than its feature's `ttl` before that moment, or none, gives the feature's
    default. `known_at`
    leaves out what was learned later, for all rows, or for a row that has its own `known_at`: with the row's
    event_timestamp there, a training row has what a request at that time could have read. Raise InvalidInput
    for a row without its key or time, InvalidFeatureValue for a stored value that is not of the
    type that the feature declares now, or NotFound for an undeclared feature.
    """
    specs = [registry.features.require(name) for name in features]
    if on_demand := [spec.name for spec in specs if spec.on_demand]:
        raise InvalidInput(f"{on_demand[0]!r} is computed on demand and has no history; ask for its inputs.")
    keys = [[_key_of(row, spec) for row in entity_rows] for spec in specs]
    moments = [_moment_of(row, "event_timestamp") for row in entity_rows]
    known = [known_at if row.get("known_at") is None else _moment_of(row, "known_at") for row in entity_rows]
    if known_at is not None:
        _moment_of({"known_at": known_at}, "known_at")
    result: list[dict[str, Any]] = [dict(row) for row in entity_rows]

    @sync_to_async
    def read() -> None:
        with connection.cursor() as cursor:
            for spec, spec_keys in zip(specs, keys, strict=True):
                since = [moment - spec.ttl if spec.ttl else _EVER for moment in moments]
                rows: list[Any] = [list(range(len(moments))), spec_keys, since, moments, known]
                cursor.execute(_POINT_IN_TIME, [spec.name, *rows, spec.entity.name, spec.name])
                for row in result:
                    row[spec.name] = spec.default
                for number, value, is_valid in cursor.fetchall():
                    if is_valid:
                        result[number][spec.name] = _decoded(spec, value)

    await read()
    return result


def _decoded(spec: FeatureSpec, value: Any) -> Any:
    # Django registers no jsonb loader for raw cursors: the value arrives as text.
    return spec.value_type.decode(json.loads(value) if isinstance(value, str | bytes) else value)


def _key_of(row: Mapping[str, Any], spec: FeatureSpec) -> str:
    if spec.entity.key not in row:
        raise InvalidInput(f"Each entity row needs {spec.entity.key!r}, the key of {spec.entity.name}.")
    return check_identity(row[spec.entity.key], spec.entity.key)


def _moment_of(row: Mapping[str, Any], name: str) -> datetime:
    moment = row.get(name)
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidInput(f"{name} must be a datetime with a timezone, in each entity row.")
    return moment
