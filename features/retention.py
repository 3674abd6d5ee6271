"""How long values of features, the runs that made them, and the known entities are kept."""

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from common.retention import Bounded, Retained
from features.forgetting import forget_entities
from features.known_keys import listed_keys
from features.models import (
    EntityDefinition,
    FeatureConfirmation,
    FeatureDefinition,
    FeatureValue,
    KnownEntity,
    MaterializationRun,
    OnlineRepair,
)

_OF_RUNS = (FeatureValue.Source.MATERIALIZED, FeatureValue.Source.BACKFILLED)


def _superfluous(values: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    """Return the values that a later one followed before the retention began, and those that are nobody's any more.

    Others were true within it, as long ago as they were written: what is unchanged is not written again.
    """
    since = now - settings.FABRA_VALUE_RETENTION
    same = FeatureValue.objects.filter(
        entity=OuterRef("entity"), entity_key=OuterRef("entity_key"), feature=OuterRef("feature")
    )
    later = Q(event_timestamp__gt=OuterRef("event_timestamp")) | Q(
        event_timestamp=OuterRef("event_timestamp"), created_at__gt=OuterRef("created_at")
    )
    outdated = Q(Exists(same.filter(later, event_timestamp__lt=since, created_at__lt=since)))
    return values.filter(outdated | Q(pk__in=_stray(values, now)))


def _stray(values: QuerySet[Any], now: datetime) -> list[int]:
    """Return the newest values that a run computed of entities that are neither known nor listed any more."""
    known = KnownEntity.objects.filter(entity=OuterRef("entity"), entity_key=OuterRef("entity_key"))
    unknown = list(values.filter(~Exists(known), source__in=_OF_RUNS))
    keys = defaultdict[str, set[str]](set)
    for value in unknown:
        keys[value.entity].add(value.entity_key)
    listed = {entity: listed_keys(entity, sorted(of_entity)) for entity, of_entity in keys.items()}
    since = now - settings.FABRA_VALUE_RETENTION
    confirmed = FeatureConfirmation.objects.newest_of(unknown, since=since, until=now) if unknown else {}
    return [value.pk for value in unknown if value.entity_key not in listed[value.entity] and value.pk not in confirmed]


def _without_values(runs: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    return runs.filter(~Exists(FeatureValue.objects.filter(run=OuterRef("pk"))), finished_at__isnull=False)


def _forgotten(entities: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    """Return the entities that nothing lists, and of which no value is of an operator's hand or still young."""
    values = FeatureValue.objects.filter(entity=OuterRef("entity"), entity_key=OuterRef("entity_key"))
    lasting = Q(source=FeatureValue.Source.SET) | Q(created_at__gte=now - settings.FABRA_VALUE_RETENTION)
    entities = entities.filter(~Exists(values.filter(lasting)))
    for entity, keys in _by_entity(entities).items():
        if listed := listed_keys(entity, keys):
            entities = entities.exclude(entity=entity, entity_key__in=listed)
    return entities


def _forget(entities: QuerySet[Any]) -> None:
    for entity, keys in _by_entity(entities).items():
        forget_entities(entity, keys)


def _by_entity(entities: QuerySet[Any]) -> dict[str, list[str]]:
    keys = defaultdict[str, list[str]](list)
    for entity, key in entities.values_list("entity", "entity_key"):
        keys[entity].append(key)
    return keys


VALUES = Retained(
    name="feature values", model=FeatureValue, setting="FABRA_VALUE_RETENTION", time="created_at",
    grows_with_key=True, removable=_superfluous,
)  # fmt: skip
CONFIRMATIONS = Retained(
    name="confirmations of feature values", model=FeatureConfirmation, setting="FABRA_VALUE_RETENTION",
    time="created_at", grows_with_key=True,
)  # fmt: skip
RUNS = Retained(
    name="materialisation runs", model=MaterializationRun, setting="FABRA_RUN_RETENTION", time="created_at",
    grows_with_key=True, removable=_without_values,
)  # fmt: skip
ENTITIES = Retained(
    name="known entities", model=KnownEntity, setting="FABRA_VALUE_RETENTION", time="last_seen_at", batch=100,
    created="first_seen_at", removable=_forgotten, remove=_forget,
)  # fmt: skip
"""Those that were not seen for so long go with all their values, online too; a batch may have thousands of these."""

KINDS = (ENTITIES, VALUES, CONFIRMATIONS, RUNS)
STAYS = (
    Bounded(name="declared entities and features", models=(EntityDefinition, FeatureDefinition),
            reason="one row for each definition in the code"),
    Bounded(name="values to be written to Redis", models=(OnlineRepair,),
            reason="written within seconds, or once Redis answers"),
)  # fmt: skip
