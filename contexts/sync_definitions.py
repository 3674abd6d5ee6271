"""Mirror the declared contexts in rows."""

from common.definitions import sync_definitions
from contexts.models import ContextDefinition
from contexts.registry import contexts


def sync_contexts() -> None:
    sync_definitions(
        ContextDefinition,
        {
            spec.name: {
                "description": spec.description,
                "location": str(spec.location),
                "declared_max_tokens": spec.max_tokens,
                "model": spec.model,
                "overflow": spec.overflow,
                "freshness_sla": spec.freshness_sla,
                "freshness_strict": spec.freshness_strict,
            }
            for spec in contexts.values()
        },
    )
