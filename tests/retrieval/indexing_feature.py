"""A feature that indexes the document of its event itself, as a team's own may."""

from contexts.store import FeatureStore
from events.event import AxiomEvent
from features.declaration import entity, feature


def declare_indexing_feature() -> None:
    """Declare it; it takes the place of the built-in handler of `doc_updated`."""
    store = FeatureStore()

    @entity()
    class Page:
        page_id: str

    @feature(entity=Page, trigger="doc_updated")
    async def page_text(page_id: str, event: AxiomEvent) -> str:
        await store.index("knowledge_base", page_id, event.payload["content"])
        return str(event.payload["content"])
