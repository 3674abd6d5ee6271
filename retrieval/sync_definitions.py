"""Copy the declared retrievers and model sources to rows."""

from common.definitions import sync_definitions
from retrieval.model_sources.declaration import model_sources
from retrieval.models import ModelSource, RetrieverDefinition
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


def sync_model_sources(*, is_complete: bool = True) -> None:
    sync_definitions(
        ModelSource,
        {
            spec.name: {
                "description": spec.description,
                "location": str(spec.location),
                "model": spec.label,
                "index": spec.index,
                "format": spec.format,
            }
            for spec in model_sources.values()
        },
        is_complete=is_complete,
    )
