"""Events that describe a state, and are ordered so that an older one never overwrites a newer one."""

from collections.abc import Callable
from typing import Any

Scope = Callable[[dict[str, Any]], str]
"""Returns from a payload which of an entity's states is meant, such as the collection that it is part of."""

_families: dict[str, Scope] = {}
_urgent: set[str] = set()


def register_family(prefix: str, scope: Scope, *, is_urgent: bool = True) -> None:
    """Apply the events whose type begins with `prefix` in the order of their times.

    Those of a family that `is_urgent` do not wait behind a thousand other events.
    """
    _families[prefix] = scope
    if is_urgent:
        _urgent.add(prefix)


def state_family(event_type: str) -> str | None:
    return next((prefix for prefix in _families if event_type.startswith(prefix)), None)


def is_urgent(event_type: str) -> bool:
    return state_family(event_type) in _urgent


def urgent_prefixes() -> list[str]:
    """Return what the types of urgent events begin with."""
    return sorted(_urgent)


def state_key(event_type: str, entity_id: str, payload: dict[str, Any]) -> str:
    """Return the key of the state that the event describes, or ""; events with the same key are applied in order."""
    family = state_family(event_type)
    if family is None:
        return ""
    scope = _families[family](payload)
    return f"{family}{len(scope)}:{scope}:{entity_id}"  # the length, because either part may contain a colon
