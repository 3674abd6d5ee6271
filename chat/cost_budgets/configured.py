"""Which budgets there are: those of FABRA_BUDGETS, and the columns of API keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils import timezone

from chat.cost_budgets.budget import DAY, MONTH, Budget
from chat.models import ApiKey
from chat.spending.calls import Spender

_MOST_USD = 1_000_000
"""In nano dollars this is still exact in the numbers of Redis's scripts, up to 9 million."""


@dataclass(frozen=True, kw_only=True)
class BudgetState:
    """A budget, and what was spent of it."""

    budget: Budget
    spent_usd: Decimal

    @property
    def share(self) -> float:
        return float(self.spent_usd / self.budget.limit_usd) if self.budget.limit_usd else 1.0


def budgets_of(spender: Spender) -> list[Budget]:
    """Return the budgets that a call falls under: of the installation, of the tier and its user, and of the API key."""
    found = list(_of("installation", "", settings.FABRA_BUDGETS.get("installation", {}), ""))
    if spender.user_id and spender.tier is not None:
        tiers = settings.FABRA_BUDGETS.get("tiers", {})
        limits = tiers.get(spender.tier, tiers.get("*", {}))
        found += _of("tier", spender.tier, limits, "")
        found += _of("user", spender.user_id, limits, "user_")
    if spender.key is not None:
        limits = {DAY: spender.key.daily_budget_usd, MONTH: spender.key.monthly_budget_usd}
        found += _of("key", str(spender.key.pk), limits, "")
    return found


def shared_budgets() -> list[Budget]:
    """Return the budgets that are set, but those of each user."""
    found = list(_of("installation", "", settings.FABRA_BUDGETS.get("installation", {}), ""))
    for tier, limits in settings.FABRA_BUDGETS.get("tiers", {}).items():
        found += [] if tier == "*" else _of("tier", tier, limits, "")
    for key in ApiKey.objects.usable():
        limits = {DAY: key.daily_budget_usd, MONTH: key.monthly_budget_usd}
        found += _of("key", str(key.pk), limits, "", name=key.name)
    return found


def states() -> list[BudgetState]:
    """Return the budgets that are set, users' apart, with what was spent of each, as PostgreSQL knows it."""
    return [BudgetState(budget=budget, spent_usd=budget.spent()) for budget in shared_budgets()]


def wrong_budgets(given: Any) -> str:
    """Return what of FABRA_BUDGETS means nothing; "" if all is well."""
    if not isinstance(given, dict) or not isinstance(given.get("tiers", {}), dict):
        return "another shape"
    tiers = given.get("tiers", {})
    parts: list[tuple[Any, tuple[str, ...]]] = [(given.get("installation", {}), (DAY, MONTH))]
    parts += [(limits, (DAY, MONTH, f"user_{DAY}", f"user_{MONTH}")) for limits in tiers.values()]
    unknown = [f"the unknown key {name!r}" for name in given if name not in ("installation", "tiers")]
    for limits, names in parts:
        if not isinstance(limits, dict):
            return "another shape"
        unknown += [f"the unknown key {name!r}" for name in limits if name not in names]
        for limit in limits.values():
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit <= _MOST_USD:
                unknown.append(f"the amount {limit!r}")
    return ", ".join(unknown)


def _of(scope: str, subject: str, limits: dict[str, Any], prefix: str, name: str = "") -> Iterator[Budget]:
    today = timezone.now().astimezone(UTC).date()
    for period, starts in ((DAY, today), (MONTH, today.replace(day=1))):
        if (limit := limits.get(f"{prefix}{period}")) is not None:
            yield Budget(
                scope=scope, subject=subject, period=period, starts=starts, limit_usd=Decimal(str(limit)), name=name
            )
