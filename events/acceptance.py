"""Checks of events where they come in, by the apps that know what an event means."""

from collections.abc import Callable

from events.event import AxiomEvent

Check = Callable[[AxiomEvent], None]
"""Raises InvalidInput for an event that could never be processed, or does not say what its sender means."""

_checks: list[Check] = []


def register_check(function: Check) -> None:
    """Have events checked when they come in by REST, a webhook, the bus, its stream or the admin."""
    _checks.append(function)


def accepted(event: AxiomEvent) -> AxiomEvent:
    """Return the event; raise InvalidInput if a registered check refuses it."""
    for function in _checks:
        function(event)
    return event
