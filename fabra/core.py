"""`from fabra.core import FeatureStore, entity, feature`"""

from contexts.store import FeatureStore
from features.registry import entity, feature

__all__ = ["FeatureStore", "entity", "feature"]
