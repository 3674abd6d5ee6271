"""How many messages may be sent: what an operator has set in the admin, or else the settings say."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

from chat.models import LimitSettings
from common.operator_settings import Snapshot

MAX_AGE_S = 1.0
"""How late a process may learn of a change that another one made."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Numbers of messages in a window; None is unlimited."""

    tier_feature: str
    """The feature that tells a user's tier; "" where there are no tiers."""
    window: timedelta
    tiers: Mapping[str, int | None]
    default: int | None
    """Of users without a tier, or of one that is not named."""
    address: int | None
    feedback: int | None

    def of_tier(self, tier: object) -> int | None:
        return self.tiers[tier] if isinstance(tier, str) and tier in self.tiers else self.default


def limits_of_settings() -> Limits:
    return Limits(
        tier_feature=settings.FABRA_TIER_FEATURE,
        window=settings.FABRA_RATE_LIMIT_WINDOW,
        tiers=settings.FABRA_RATE_LIMITS,
        default=settings.FABRA_RATE_LIMIT_DEFAULT,
        address=settings.FABRA_RATE_LIMIT_ADDRESS or None,
        feedback=settings.FABRA_RATE_LIMIT_FEEDBACK,
    )


async def current_limits() -> Limits:
    return (await rows.rows()).get(_KEY) or limits_of_settings()


def current_limits_now() -> Limits:
    """Return the same where there is no event loop."""
    return rows.rows_now().get(_KEY) or limits_of_settings()


def _load() -> dict[str, Limits]:
    """Return the operator's limits; nothing until they are set."""
    row = LimitSettings.objects.prefetch_related("tiers").order_by("pk").first()
    if row is None:
        return {}
    limits = Limits(
        tier_feature=row.tier_feature,
        window=timedelta(minutes=row.window_min),
        tiers={tier.tier: tier.messages for tier in row.tiers.all()},
        default=row.default_messages,
        address=row.address_messages,
        feedback=row.feedback,
    )
    return {_KEY: limits}


_KEY = "limits"
rows: Snapshot[Limits] = Snapshot(_load, MAX_AGE_S)
