"""Copy declared entities and features to rows, and keep an operator's settings in them."""

from common.definitions import sync_definitions
from features import registry
from features.materialization.schedule import schedule_feature
from features.models import EntityDefinition, FeatureDefinition
from features.models.definitions import REQUEST


def sync_features() -> None:
    sync_definitions(
        EntityDefinition,
        {
            spec.name: {"key": spec.key, "description": spec.description, "location": str(spec.location)}
            for spec in registry.entities.values()
        },
    )
    sync_definitions(
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
                "source": REQUEST if spec.on_demand else spec.source or "",
                "default_value": spec.default_json,
                "batch_size": spec.batch_size,
                "concurrency": spec.concurrency,
                "takes_as_of": spec.takes_as_of,
            }
            for spec in registry.features.values()
        },
    )
    for row in FeatureDefinition.objects.all():
        schedule_feature(row)
