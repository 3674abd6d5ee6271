"""`from fabra.events import AxiomEvent`"""

from fabra.standalone import ensure_django

ensure_django()

from events.event import AxiomEvent  # noqa: E402 (Django is set up first)

__all__ = ["AxiomEvent"]
