"""`from fabra.core import FeatureStore, entity, feature`"""

from contexts.store import FeatureStore
from features.declaration import entity, feature

__all__ = ["FeatureStore", "entity", "feature"]
