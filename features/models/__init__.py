"""Tables of the feature store."""

from features.models.definitions import Definition, EntityDefinition, FeatureDefinition
from features.models.events import Event, HandlerOutcome
from features.models.runs import MaterializationRun
from features.models.values import FeatureValue, KnownEntity, OnlineRepair

__all__ = [
    "Definition",
    "EntityDefinition",
    "Event",
    "FeatureDefinition",
    "FeatureValue",
    "HandlerOutcome",
    "KnownEntity",
    "MaterializationRun",
    "OnlineRepair",
]
