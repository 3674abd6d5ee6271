"""What real workers run in tests of events."""

import time
from pathlib import Path

from fabra.core import FeatureStore, entity, feature
from fabra.events import AxiomEvent

store = FeatureStore()


@entity(store)
class Bear:
    bear_id: str


@feature(entity=Bear, trigger="poked")
def pokes(bear_id: str, event: AxiomEvent) -> int:
    time.sleep(event.payload.get("takes_s", 0))
    return int(event.payload["number"])


@feature(entity=Bear, trigger="waited")
def patience(bear_id: str, event: AxiomEvent) -> bool:
    """Touch a file, and wait for another one."""
    Path(event.payload["begun"]).touch()
    give_up_at = time.monotonic() + 240
    while not Path(event.payload["until"]).exists():
        assert time.monotonic() < give_up_at, "nobody came"
        time.sleep(0.02)
    return True
