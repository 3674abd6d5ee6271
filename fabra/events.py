"""`from fabra.events import AxiomEvent`"""

from events.event import AxiomEvent

__all__ = ["AxiomEvent"]
