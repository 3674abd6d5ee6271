"""A budget: how many US dollars somebody's calls of models may cost in a day or a month, in UTC."""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from chat.spending.sums import spent_since

DAY, MONTH = "day", "month"
_WARNING_SHARE = Decimal("0.8")
_NANO = 1_000_000_000


def nano_of(usd: Decimal) -> int:
    """Return an amount of US dollars in whole nano dollars, rounded up: what is counted is never too little."""
    return math.ceil(usd * _NANO)


@dataclass(frozen=True, kw_only=True)
class Budget:
    scope: str
    """`installation`, `tier`, `user` or `key`."""
    subject: str
    """The tier, the user's id or the key's; "" for the installation."""
    period: str
    """`day` or `month`."""
    starts: date
    limit_usd: Decimal
    name: str = ""
    """What people call the subject, where that is not its id."""

    @property
    def what(self) -> str:
        if self.scope == "installation":
            return "the installation"
        return f"{'API key' if self.scope == 'key' else self.scope} {self.name or self.subject}"

    @property
    def limit_nano(self) -> int:
        return int(self.limit_usd * _NANO)

    @property
    def warning_usd(self) -> Decimal:
        """From how much on it is told that the budget will be used up."""
        return self.limit_usd * _WARNING_SHARE

    @property
    def resets_at(self) -> datetime:
        end = self.starts + timedelta(days=1) if self.period == DAY else (self.starts + timedelta(days=32))
        end = end if self.period == DAY else end.replace(day=1)
        return datetime(end.year, end.month, end.day, tzinfo=UTC)

    def spent(self) -> Decimal:
        """Return what PostgreSQL knows to be spent in the period, in US dollars."""
        return spent_since(
            self.starts,
            tier=self.subject if self.scope == "tier" else None,
            user_id=self.subject if self.scope == "user" else None,
            key=int(self.subject) if self.scope == "key" else None,
        )
