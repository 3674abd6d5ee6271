"""Copy the declared retrievers to rows."""

from common.definitions import sync_definitions
from retrieval.models import RetrieverDefinition
from retrieval.retrievers.declaration import retrievers


def sync_retrievers() -> None:
    sync_definitions(
        RetrieverDefinition,
        {
            spec.name: {
                "description": spec.description,
                "location": str(spec.location),
                "index": spec.index or "",
                "top_k": spec.top_k,
                "cache_ttl": spec.cache_ttl,
                "filters": spec.filters,
                "options": spec.options,
            }
            for spec in retrievers.values()
        },
    )
