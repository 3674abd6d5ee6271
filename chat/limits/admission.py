"""The result of the rate limit's check of one message."""

import math
import time
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from chat.limits.configured import tier_name
from chat.limits.windows import Counted
from common.errors import FabraError


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A message, or a request with an API key, that was accepted or refused, and the state of its limit after it."""

    user_id: str
    counted: Counted
    limit: int | None = None
    """None: the user may send as many as they like."""
    remaining: int = 0
    resets_at: datetime = field(default_factory=timezone.now)
    """When the oldest counted message leaves the window."""
    tier: str | None = None
    """The user's, "" for one without; None where it was not asked for."""
    what: str = "messages"
    """What the limit is of."""
    refused: "RateLimited | None" = None
    """Why the bot does not answer the message, which is only for a person: what is asked of the bot is at its limit."""

    @property
    def token(self) -> str:
        return self.counted.token

    @property
    def is_degraded(self) -> bool:
        """Return whether Redis did not answer, so that PostgreSQL counted."""
        return self.counted.is_degraded

    @property
    def retry_after_s(self) -> int:
        return max(1, math.ceil(self.resets_at.timestamp() - time.time()))

    def headers(self) -> dict[str, str]:
        degraded = {"X-RateLimit-Degraded": "true"} if self.is_degraded else {}
        if self.limit is None:
            return degraded
        return degraded | {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(self.resets_at.timestamp())),
        }


class RateLimited(FabraError):
    """The user, their address or the API key has sent as many messages as are allowed for now."""

    code = "rate_limited"

    def __init__(self, admission: Admission) -> None:
        super().__init__(
            f"The limit of {admission.limit} {admission.what} is reached;"
            f" try again in {admission.retry_after_s} seconds."
        )
        self.admission = admission


def uncounted(user_id: str, tier: object) -> Admission:
    """Return the admission of a message that was counted when it came; it tells no limit."""
    counted = Counted(token="", windows=[], is_accepted=True, counts=[], resets_at=[])
    return Admission(user_id=user_id, counted=counted, tier=tier_name(tier))
