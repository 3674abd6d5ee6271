"""Checks of events where they come in, by the apps that know what an event means."""

from collections.abc import Callable

from common.definitions import add_once
from events.event import AxiomEvent

Check = Callable[[AxiomEvent], None]
"""Raises InvalidInput for an event that could never be processed, or does not say what its sender means."""

_checks: list[Check] = []
_takers: list[Callable[[str], bool]] = []


def register_check(function: Check) -> None:
    """Have events checked when they come in by REST, a webhook, the bus, its stream or the admin."""
    add_once(_checks, function)


def accepted(event: AxiomEvent) -> AxiomEvent:
    """Return the event; raise InvalidInput if a registered check refuses it."""
    for function in _checks:
        function(event)
    return event


def register_taker(function: Callable[[str], bool]) -> None:
    """Register a function that tells whether an app has handlers of its own for events of a type."""
    add_once(_takers, function)


def is_taken(event_type: str) -> bool:
    """Return whether a default handler leaves such events to others, who know what the payload of such an event is."""
    return any(function(event_type) for function in _takers)
