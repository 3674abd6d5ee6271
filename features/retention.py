"""How long values of features, the runs that made them, and the known entities are kept."""

from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from common.retention import Retained
from features.models import FeatureConfirmation, FeatureValue, KnownEntity, MaterializationRun


def _outdated(values: QuerySet[Any]) -> QuerySet[Any]:
    """Return the values that a later one followed before the retention began.

    Others were true within it, as long ago as they were written: what is unchanged is not written again.
    """
    since = timezone.now() - settings.FABRA_VALUE_RETENTION
    same = FeatureValue.objects.filter(
        entity=OuterRef("entity"), entity_key=OuterRef("entity_key"), feature=OuterRef("feature")
    )
    later = Q(event_timestamp__gt=OuterRef("event_timestamp")) | Q(
        event_timestamp=OuterRef("event_timestamp"), created_at__gt=OuterRef("created_at")
    )
    return values.filter(Exists(same.filter(later, event_timestamp__lt=since, created_at__lt=since)))


def _without_values(runs: QuerySet[Any]) -> QuerySet[Any]:
    return runs.filter(~Exists(FeatureValue.objects.filter(run=OuterRef("pk"))), finished_at__isnull=False)


def _forgotten(entities: QuerySet[Any]) -> QuerySet[Any]:
    values = FeatureValue.objects.filter(entity=OuterRef("entity"), entity_key=OuterRef("entity_key"))
    return entities.filter(~Exists(values))


VALUES = Retained(
    name="feature values", model=FeatureValue, setting="FABRA_VALUE_RETENTION", time="created_at", removable=_outdated
)
CONFIRMATIONS = Retained(
    name="confirmations of feature values", model=FeatureConfirmation, setting="FABRA_VALUE_RETENTION",
    time="created_at",
)  # fmt: skip
RUNS = Retained(
    name="materialisation runs", model=MaterializationRun, setting="FABRA_RUN_RETENTION", time="created_at",
    removable=_without_values,
)  # fmt: skip
ENTITIES = Retained(
    name="known entities", model=KnownEntity, setting="FABRA_VALUE_RETENTION", time="last_seen_at", removable=_forgotten
)
"""Those that were not seen for so long, and have no value."""
