"""`from fabra.events import AxiomEvent`"""

from fabra.standalone import ensure_django, load_team_definitions

ensure_django()

from events.event import AxiomEvent  # noqa: E402 (Django is set up first)

__all__ = ["AxiomEvent"]

load_team_definitions()
