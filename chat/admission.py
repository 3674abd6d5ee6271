"""The result of the rate limit's check of one message."""

import math
import time
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A message that was accepted or refused, and the state of the user's limit after it."""

    user_id: str
    token: str
    limit: int
    remaining: int
    resets_at: datetime
    """When the oldest counted message leaves the window."""
    is_degraded: bool = False
    """True if Redis did not answer, so that PostgreSQL counted."""

    @property
    def retry_after_s(self) -> int:
        return max(1, math.ceil(self.resets_at.timestamp() - time.time()))

    def headers(self) -> dict[str, str]:
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(self.resets_at.timestamp())),
        }
        return headers | ({"X-RateLimit-Degraded": "true"} if self.is_degraded else {})
