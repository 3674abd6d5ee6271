"""How long values of features, the runs that made them, and the known entities are kept."""

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from common.retention import Retained
from features.models import FeatureValue, KnownEntity, MaterializationRun


def _outdated(values: QuerySet[Any]) -> QuerySet[Any]:
    """Return the values that a later one followed: the newest is served, and written online again after an outage."""
    same = FeatureValue.objects.filter(
        entity=OuterRef("entity"), entity_key=OuterRef("entity_key"), feature=OuterRef("feature")
    )
    later = Q(event_timestamp__gt=OuterRef("event_timestamp")) | Q(
        event_timestamp=OuterRef("event_timestamp"), created_at__gt=OuterRef("created_at")
    )
    return values.filter(Exists(same.filter(later)))


def _without_values(runs: QuerySet[Any]) -> QuerySet[Any]:
    return runs.filter(~Exists(FeatureValue.objects.filter(run=OuterRef("pk"))), finished_at__isnull=False)


def _forgotten(entities: QuerySet[Any]) -> QuerySet[Any]:
    values = FeatureValue.objects.filter(entity=OuterRef("entity"), entity_key=OuterRef("entity_key"))
    return entities.filter(~Exists(values))


VALUES = Retained(
    name="feature values", model=FeatureValue, setting="FABRA_VALUE_RETENTION", time="created_at", removable=_outdated
)
RUNS = Retained(
    name="materialisation runs", model=MaterializationRun, setting="FABRA_RUN_RETENTION", time="created_at",
    removable=_without_values,
)  # fmt: skip
ENTITIES = Retained(
    name="known entities", model=KnownEntity, setting="FABRA_VALUE_RETENTION", time="last_seen_at", removable=_forgotten
)
"""Those that were not seen for so long, and have no value."""
