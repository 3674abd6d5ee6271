"""How an endpoint's deliveries went: a mark for each of the last, and a chart of the last day."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, OuterRef
from django.db.models.functions import TruncHour
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from common.admin.charts import Series, bar_chart
from common.admin.html import duration
from events.models import WebhookDelivery, WebhookEndpoint

_SHOWN = 20
_HOURS = 24
TONES = {"delivered": "good", "pending": "info", "failed": "warn", "given_up": "bad"}


def recent_states() -> ArraySubquery:
    """Return, for a queryset of endpoints, the states of each one's last deliveries, newest first."""
    rows = WebhookDelivery.objects.filter(endpoint=OuterRef("pk")).order_by("-created_at")
    return ArraySubquery(rows.values("state")[:_SHOWN])


def marks(states: Sequence[str]) -> SafeString | str:
    """Draw a mark for each state, oldest first."""
    if not states:
        return "–"
    counts = Counter(states)
    label = ", ".join(f"{counts[state]} {state.replace('_', ' ')}" for state in TONES if counts[state])
    return render_to_string("admin/kit/marks.html", {"tones": [TONES[state] for state in states[::-1]], "label": label})


def health_of(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """Return the template's context: figures, and the deliveries of the last day by what became of them."""
    now = timezone.now()
    hours = [(now - timedelta(hours=ago)).replace(minute=0, second=0, microsecond=0) for ago in range(_HOURS)][::-1]
    rows = WebhookDelivery.objects.filter(endpoint=endpoint, created_at__gte=hours[0])
    grouped = rows.annotate(hour=TruncHour("created_at")).order_by().values_list("hour", "state")
    found = {(hour, state): count for hour, state, count in grouped.annotate(count=Count("pk"))}
    series = [
        Series(name=state.replace("_", " "), tone=tone, values=[found.get((hour, state), 0) for hour in hours])
        for state, tone in TONES.items()
    ]
    return {
        "waiting": WebhookDelivery.objects.filter(endpoint=endpoint).waiting().count(),
        "last_success": _ago(endpoint.last_success_at),
        "last_failure": _ago(endpoint.last_failure_at),
        "chart": bar_chart([f"{hour:%H:%M}" for hour in hours], series, lambda value: f"{value:,.0f}"),
    }


def _ago(moment: Any) -> str:
    return f"{duration(timezone.now() - moment)} ago" if moment else "never"
