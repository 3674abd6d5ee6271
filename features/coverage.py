"""Count the known entities of a feature by the freshness of their newest value."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection
from django.utils import timezone

from features.models import FeatureDefinition

MAX_ENTITIES = 20_000
"""The most entities that are read for one feature, each by an index descent of some 10 µs."""
MAX_ENTITIES_IN_LIST = 1_000

_COVERAGE = """
SELECT f.name,
       count(k.entity_key),
       count(*) FILTER (WHERE k.entity_key IS NOT NULL AND v.at IS NULL),
       count(*) FILTER (WHERE v.at < f.expired AND NOT v.id <@ coalesce(valid.ids, '{}')),
       count(*) FILTER (WHERE (v.at >= f.fresh OR v.id <@ coalesce(fresh.ids, '{}'))
                          AND (v.at >= f.expired OR v.id <@ coalesce(valid.ids, '{}')))
FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[]) AS f(name, entity, fresh, expired)
LEFT JOIN LATERAL (
    SELECT range_agg(value_ids) AS ids FROM features_featureconfirmation WHERE feature = f.name AND moment >= f.fresh
      AND f.fresh > %s
) fresh ON true
LEFT JOIN LATERAL (
    SELECT range_agg(value_ids) AS ids FROM features_featureconfirmation WHERE feature = f.name AND moment >= f.expired
      AND f.expired > %s
) valid ON true
LEFT JOIN LATERAL (
    SELECT entity_key
    FROM features_knownentity
    WHERE entity = f.entity AND last_seen_at >= %s
    ORDER BY last_seen_at DESC
    LIMIT %s
) k ON true
LEFT JOIN LATERAL (
    SELECT event_timestamp AS at, coalesce(confirmed_as, id) AS id
    FROM features_featurevalue
    WHERE entity = f.entity AND entity_key = k.entity_key AND feature = f.name
    ORDER BY event_timestamp DESC
    LIMIT 1
) v ON true
GROUP BY f.name
"""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The known entities of a feature by the state of its newest value in the offline store."""

    entities: int
    fresh: int
    stale: int
    """Past `refresh`, not past `ttl`: served within the tolerance, else computed again when it is requested."""
    expired: int
    missing: int
    is_partial: bool
    """Whether more entities are known than were read; the ones seen last were read."""

    def parts(self) -> list[tuple[str, int]]:
        return [(name, getattr(self, name)) for name in ("fresh", "stale", "expired", "missing")]


def coverages(
    rows: Sequence[FeatureDefinition], *, most: int = MAX_ENTITIES, now: datetime | None = None
) -> dict[str, Coverage]:
    """Return the coverage of each feature among the entities seen within FABRA_ENTITY_MEMORY; one statement for all."""
    now = now or timezone.now()
    ever = datetime(1, 1, 1, tzinfo=now.tzinfo)
    with connection.cursor() as cursor:
        cursor.execute(
            _COVERAGE,
            [
                [row.name for row in rows],
                [row.entity for row in rows],
                [now - row.refresh if row.refresh else ever for row in rows],
                [now - row.ttl if row.ttl else ever for row in rows],
                ever,
                ever,
                now - settings.FABRA_ENTITY_MEMORY,
                most,
            ],
        )
        return {name: _coverage(counts, most) for name, *counts in cursor.fetchall()}


def _coverage(counts: list[int], most: int) -> Coverage:
    entities, missing, expired, fresh = counts
    return Coverage(
        entities=entities,
        fresh=fresh,
        stale=entities - missing - expired - fresh,
        expired=expired,
        missing=missing,
        is_partial=entities >= most,
    )
