"""`from fabra.core import FeatureStore, entity, feature`"""

from fabra.standalone import ensure_django

ensure_django()

from contexts.store import FeatureStore  # noqa: E402 (Django is set up first)
from features.declaration import entity, feature  # noqa: E402 (Django is set up first)

__all__ = ["FeatureStore", "entity", "feature"]
