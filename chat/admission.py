"""Where a user's limit stands, after a message was let in or was not."""

import math
import time
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A message that was let in, or was not, and where the user's limit stands."""

    user_id: str
    token: str
    limit: int
    remaining: int
    resets_at: datetime
    """When the oldest counted message leaves the window."""
    is_degraded: bool = False
    """Redis did not answer: PostgreSQL counted."""

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
