"""The errors of events.

InvalidInput
├── EventTooLarge
├── EventConflict
├── BatchTooLarge
└── BatchRefused                 says which events of the batch, and why
WebhookRefused                   a webhook that is not from who it says
├── WebhookSignatureInvalid
└── WebhookTimestampStale
Unavailable
└── EventBusUnavailable
"""

from collections.abc import Sequence

from common.errors import FabraError, InvalidInput, Unavailable


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
        """The position in the batch, from 0, of each event that cannot be stored, and the reason."""


class WebhookRefused(FabraError):
    """The webhook cannot be trusted."""

    code = "webhook_refused"


class WebhookSignatureInvalid(WebhookRefused):
    """No source of this name that is switched on signed this: the signature has to fit the timestamp and the body."""

    code = "webhook_signature_invalid"


class WebhookTimestampStale(WebhookRefused):
    """The signed timestamp is too far from now: an old message, or a clock that is wrong; sign it again."""

    code = "webhook_timestamp_stale"


class EventBusUnavailable(Unavailable):
    """Redis does not answer, so the event was not published; try again, or use POST /api/events/."""

    code = "event_bus_unavailable"
