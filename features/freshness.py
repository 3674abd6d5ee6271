"""Classify the freshness of a value: a pure function of its time and its feature's limits."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from common.clocks import latest_possible


class Freshness(StrEnum):
    """The state of a value by its age."""

    FRESH = "fresh"
    STALE = "stale"
    """Past `refresh`, within `stale_tolerance`: served while it is recomputed in the background."""
    OVERDUE = "overdue"
    """Past the tolerance, within `ttl`: recomputed first, and served only if that fails."""
    EXPIRED = "expired"
    """Past `ttl`: never served."""


@dataclass(frozen=True, kw_only=True)
class FreshnessLimits:
    """The limits on the age of a feature's values."""

    refresh: timedelta | None
    """A younger value is fresh; None: every value is, until `ttl`."""
    stale_tolerance: timedelta
    """How long past `refresh` a value is stale, and not yet overdue."""
    ttl: timedelta | None
    """An older value is expired; None: none is."""

    def overridden(self, refresh: timedelta | None) -> "FreshnessLimits":
        """Return these limits with an operator's `refresh`, if there is one."""
        return replace(self, refresh=refresh) if refresh else self


def freshness(event_timestamp: datetime, limits: FreshnessLimits, now: datetime) -> Freshness:
    """Classify a value that was true at `event_timestamp`; each limit includes its last instant.

    The age of a value of the future, which a clock ahead has written, is not known: it is computed anew.
    """
    if event_timestamp > latest_possible(now):
        return Freshness.EXPIRED if limits.ttl is not None else Freshness.OVERDUE
    age = now - event_timestamp
    if limits.ttl is not None and age > limits.ttl:
        return Freshness.EXPIRED
    if limits.refresh is None or age <= limits.refresh:
        return Freshness.FRESH
    return Freshness.STALE if age <= limits.refresh + limits.stale_tolerance else Freshness.OVERDUE
