"""What the workers of the crash test run."""

from fabra.core import FeatureStore, entity, feature
from fabra.events import AxiomEvent

store = FeatureStore()


@entity(store)
class Bear:
    bear_id: str


@feature(entity=Bear, trigger="poked")
def pokes(bear_id: str, event: AxiomEvent) -> int:
    return int(event.payload["number"])
