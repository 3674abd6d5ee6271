"""`from fabra.events import AxiomEvent`"""

from features.events import AxiomEvent

__all__ = ["AxiomEvent"]
