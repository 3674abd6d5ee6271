"""Mirror what the code declares into rows; what an operator set in them stays."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from features import registry
from features.models import Definition, EntityDefinition, FeatureDefinition
from features.schedule import schedule_feature, schedule_upkeep


def mirror(model: type[Definition], declared: Mapping[str, Mapping[str, Any]]) -> None:
    """Create or update a row for each definition, and mark those whose code is gone."""
    for name, fields in declared.items():
        model._default_manager.update_or_create(name=name, defaults={**fields, "gone_at": None})
    model._default_manager.exclude(name__in=declared).filter(gone_at=None).update(gone_at=timezone.now())


def mirror_features() -> None:
    mirror(
        EntityDefinition,
        {
            spec.name: {"key": spec.key, "description": spec.description, "location": str(spec.location)}
            for spec in registry.entities.values()
        },
    )
    mirror(
        FeatureDefinition,
        {
            spec.name: {
                "entity": spec.entity.name,
                "description": spec.description,
                "location": str(spec.location),
                "declared_refresh": spec.refresh,
                "ttl": spec.ttl,
                "stale_tolerance": spec.stale_tolerance,
                "materialize": spec.materialize,
                "trigger": spec.trigger or "",
                "default_value": spec.default,
                "batch_size": spec.batch_size,
                "concurrency": spec.concurrency,
                "takes_as_of": spec.takes_as_of,
            }
            for spec in registry.features.values()
        },
    )
    schedule_upkeep()
    for row in FeatureDefinition.objects.all():
        schedule_feature(row)
