"""What can go wrong in the feature store.

FabraError
├── DefinitionError          a declaration that cannot work; raised at import
├── InvalidInput             a key, value or event that cannot be stored
│   ├── EventTooLarge
│   └── EventConflict
├── NotFound                 a name that nobody declared
└── Unavailable              a part that is down just now
    ├── OnlineStoreUnavailable
    ├── EventBusUnavailable
    └── FeatureComputeError
"""


class FabraError(Exception):
    """The operation failed."""

    code = "error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class DefinitionError(FabraError):
    """The definition cannot work."""

    code = "invalid_definition"


class InvalidInput(FabraError):
    """The input cannot be stored."""

    code = "invalid_input"


class EventTooLarge(InvalidInput):
    """The event's payload is larger than the limit."""

    code = "payload_too_large"


class EventConflict(InvalidInput):
    """An event with this id was already received with another body."""

    code = "event_conflict"


class NotFound(FabraError):
    """Nothing of that name is declared."""

    code = "not_found"


class Unavailable(FabraError):
    """A part that this needs is down just now; try again shortly."""

    code = "unavailable"


class OnlineStoreUnavailable(Unavailable):
    """Redis does not answer."""

    code = "online_store_unavailable"


class EventBusUnavailable(Unavailable):
    """Redis does not answer, so the event was not published; try again, or use POST /api/events/."""

    code = "event_bus_unavailable"


class FeatureComputeError(Unavailable):
    """A feature's function failed, and no default_value was declared for it."""

    code = "feature_failed"
