"""What the page of an API key shows beside its form: its secrets, its use per day."""

from datetime import datetime
from typing import Any

from django.utils.safestring import SafeString

from chat.limits.key_use import use_of
from chat.models import ApiKey
from common.admin.charts import Series, bar_chart
from common.admin.html import badge

_DAYS = 30


def summary_of(key: ApiKey) -> dict[str, Any]:
    """Return the template's context: its secrets with their last use, and the last 30 days."""
    days = use_of(key, _DAYS)
    accepted, refused = sum(day.accepted for day in days), sum(day.refused for day in days)
    made = f"{key.rotated_at or key.created_at:%Y-%m-%d %H:%M}"
    secrets = [_secret(key.start, "works", made, key.last_used_at)]
    if key.previous_digest:
        state = f"works until {key.previous_until:%Y-%m-%d %H:%M}" if key.has_previous else "ended"
        secrets.append(_secret(key.previous_start, state, f"before {made}", key.previous_used_at))
    if not key.is_usable:
        secrets = [secret | {"state": "ended"} for secret in secrets]
    return {
        "state": state_badge(key),
        "secrets": secrets,
        "has_previous": key.has_previous and key.is_usable,
        "today": f"{days[-1].accepted:,}",
        "accepted": f"{accepted:,}",
        "refused": f"{refused:,}",
        "has_refused": refused > 0,
        "expires": f"{key.expires_at:%Y-%m-%d}" if key.expires_at else "never",
        "chart": bar_chart(
            [f"{day.day:%b} {day.day.day}" for day in days],
            [
                Series(name="accepted", tone="info", values=[day.accepted for day in days]),
                Series(name="beyond its limits", tone="bad", values=[day.refused for day in days]),
            ],
            lambda value: f"{value:,.0f}" if value == int(value) else f"{value:,.1f}",
        ),
    }


def state_badge(key: ApiKey) -> SafeString:
    if key.revoked_at is not None:
        return badge("revoked")
    if not key.is_usable:
        return badge("expired")
    return badge("expires soon", "warn") if key.expires_soon else badge("usable")


def _secret(start: str, state: str, made: str, used_at: datetime | None) -> dict[str, Any]:
    return {
        "start": start,
        "state": state,
        "tone": "good" if state == "works" else "warn" if state != "ended" else "plain",
        "made": made,
        "used": f"{used_at:%Y-%m-%d %H:%M}" if used_at else "never",
    }
