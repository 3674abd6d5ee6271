"""Rows that mirror what the code declares, and the tables of what belongs to no app in particular."""

from common.models.clocks import ClockReading
from common.models.definitions import Definition
from common.models.pruning import PrunedKind, Pruning

__all__ = ["ClockReading", "Definition", "PrunedKind", "Pruning"]
