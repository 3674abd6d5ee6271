"""`from fabra.core import FeatureStore, entity, feature, feature_set`"""

from contexts.store import FeatureStore
from features.declaration import entity, feature
from features.feature_sets import FeatureSet, feature_set

__all__ = ["FeatureSet", "FeatureStore", "entity", "feature", "feature_set"]
