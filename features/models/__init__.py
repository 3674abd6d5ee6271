"""The tables of the feature store."""

from features.models.confirmations import FeatureConfirmation
from features.models.definitions import EntityDefinition, FeatureDefinition
from features.models.runs import MaterializationRun
from features.models.values import FeatureValue, KnownEntity, OnlineRepair

__all__ = [
    "EntityDefinition",
    "FeatureConfirmation",
    "FeatureDefinition",
    "FeatureValue",
    "KnownEntity",
    "MaterializationRun",
    "OnlineRepair",
]
