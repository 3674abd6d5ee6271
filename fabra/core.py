"""`from fabra.core import FeatureStore, entity, feature, feature_set`"""

from fabra.standalone import ensure_django, load_team_definitions

ensure_django()

from contexts.store import FeatureStore  # noqa: E402 (Django is set up first)
from features.declaration import entity, feature  # noqa: E402 (Django is set up first)
from features.feature_sets import FeatureSet, feature_set  # noqa: E402 (Django is set up first)

__all__ = ["FeatureSet", "FeatureStore", "entity", "feature", "feature_set"]

load_team_definitions()
