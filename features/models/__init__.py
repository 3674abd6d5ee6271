"""Tables of the feature store."""

from features.models.definitions import Definition, EntityDefinition, FeatureDefinition
from features.models.events import Event, EventEdit, EventQuerySet, HandlerOutcome
from features.models.runs import MaterializationRun
from features.models.values import FeatureValue, KnownEntity, OnlineRepair
from features.models.webhooks import WebhookSource

__all__ = [
    "Definition",
    "EntityDefinition",
    "Event",
    "EventEdit",
    "EventQuerySet",
    "FeatureDefinition",
    "FeatureValue",
    "HandlerOutcome",
    "KnownEntity",
    "MaterializationRun",
    "OnlineRepair",
    "WebhookSource",
]
