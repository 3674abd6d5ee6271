"""The errors of the feature store, in addition to those that all apps share."""

from common.errors import Unavailable


class OnlineStoreUnavailable(Unavailable):
    """Redis does not answer."""

    code = "online_store_unavailable"


class FeatureComputeError(Unavailable):
    """A feature's function failed, and no default_value was declared for it."""

    code = "feature_failed"


class FeatureValueRefused(FeatureComputeError):
    """A feature's function returned what cannot be stored, or what is not of its declared type."""

    code = "invalid_feature_value"
