"""How many messages may be sent: what an operator has set in the admin, or else the settings say."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import Enum

from django.conf import settings

from chat.models import LimitSettings
from common.operator_settings import Snapshot

MAX_AGE_S = 2.0
"""How late a process may learn of a change that another one made."""


@dataclass(frozen=True, kw_only=True)
class MessageLimits:
    """Numbers of messages in a window; None is unlimited."""

    tier_feature: str
    """The feature that tells a user's tier; "" where there are no tiers."""
    window: timedelta
    tiers: Mapping[str, int | None]
    default: int | None
    """The limit of users without a tier, or of one that is not named."""
    address: int | None
    person: int | None
    """Of one user to a person, beyond what the bot answers."""
    feedback: int | None

    def of_tier(self, tier: object) -> int | None:
        return self.tiers.get(tier_name(tier), self.default)


def tier_name(tier: object) -> str:
    """Return the name of a tier: a text, a number, a truth value, or a member of an Enum; "" for any other value."""
    value = tier.value if isinstance(tier, Enum) else tier
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float | Decimal) else ""


def limits_of_settings() -> MessageLimits:
    return MessageLimits(
        tier_feature=settings.FABRA_TIER_FEATURE,
        window=settings.FABRA_RATE_LIMIT_WINDOW,
        tiers=settings.FABRA_RATE_LIMITS,
        default=settings.FABRA_RATE_LIMIT_DEFAULT,
        address=settings.FABRA_RATE_LIMIT_ADDRESS or None,
        person=settings.FABRA_RATE_LIMIT_PERSON,
        feedback=settings.FABRA_RATE_LIMIT_FEEDBACK,
    )


async def current_limits() -> MessageLimits:
    return (await rows.rows()).get(_KEY) or limits_of_settings()


def current_limits_now() -> MessageLimits:
    """Return the same where there is no event loop."""
    return rows.rows_now().get(_KEY) or limits_of_settings()


def _load() -> dict[str, MessageLimits]:
    """Return the operator's limits; nothing until they are set."""
    columns = ("tier_feature", "window_min", "default_messages", "address_messages", "person_messages", "feedback")
    found = list(LimitSettings.objects.order_by("pk").values(*columns, "tiers__tier", "tiers__messages"))
    if not found:
        return {}
    first = found[0]
    limits = MessageLimits(
        tier_feature=first["tier_feature"],
        window=timedelta(minutes=first["window_min"]),
        tiers={row["tiers__tier"]: row["tiers__messages"] for row in found if row["tiers__tier"] is not None},
        default=first["default_messages"],
        address=first["address_messages"],
        person=first["person_messages"],
        feedback=first["feedback"],
    )
    return {_KEY: limits}


_KEY = "limits"
rows: Snapshot[MessageLimits] = Snapshot(_load, MAX_AGE_S)
