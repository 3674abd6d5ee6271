"""What can go wrong in the feature store.

FabraError
├── DefinitionError          a declaration that cannot work; raised at import
├── InvalidInput             a key, value or event that cannot be stored
│   ├── EventTooLarge
│   ├── EventConflict
│   ├── BatchTooLarge
│   └── BatchRefused         says which events of the batch, and why
├── NotFound                 a name that nobody declared
│   └── WebhookSourceUnknown
├── WebhookRefused           a webhook that is not from who it says
│   ├── WebhookSignatureInvalid
│   └── WebhookTimestampStale
└── Unavailable              a part that is down just now
    ├── OnlineStoreUnavailable
    ├── EventBusUnavailable
    └── FeatureComputeError
"""

from collections.abc import Sequence


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


class BatchTooLarge(InvalidInput):
    """The batch has too many events."""

    code = "batch_too_large"


class BatchRefused(InvalidInput):
    """Nothing of the batch was stored; see `items` for what to put right, or leave out."""

    code = "batch_refused"

    def __init__(self, items: Sequence[tuple[int, FabraError]]) -> None:
        super().__init__()
        self.items = items
        """The position of each event that cannot be stored, from 0, and why."""


class NotFound(FabraError):
    """Nothing of that name is declared."""

    code = "not_found"


class WebhookSourceUnknown(NotFound):
    """There is no webhook source of this name, or it is switched off."""

    code = "webhook_source_unknown"


class WebhookRefused(FabraError):
    """The webhook cannot be trusted."""

    code = "webhook_refused"


class WebhookSignatureInvalid(WebhookRefused):
    """The signature does not fit the timestamp and the body, or is missing."""

    code = "webhook_signature_invalid"


class WebhookTimestampStale(WebhookRefused):
    """The signed timestamp is too far from now: an old message, or a clock that is wrong; sign it again."""

    code = "webhook_timestamp_stale"


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
