"""Mirror the declared retrievers into rows."""

from features.mirror import mirror
from retrieval.models import RetrieverDefinition
from retrieval.retrievers import retrievers


def mirror_retrievers() -> None:
    mirror(
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
