"""The event statistics page: throughput, lag, retries and dead letters over time."""

from typing import Any

from common.admin.charts import Series, bar_chart, line_chart
from common.admin.html import duration
from common.redis import REDIS_ERRORS
from events.models import Event
from events.statistics import RANGES, Flow, Range, flow_of
from events.stream_groups import groups_behind

_MOST_DEAD = 10_000


def flow_page(span: Range) -> dict[str, Any]:
    """Return the template's context."""
    whole, steps = flow_of(span)
    pattern = "%H:%M" if span.length.total_seconds() <= 86_400 else "%b %d %H:%M"
    labels = [f"{step.since:{pattern}}" for step in steps]
    dead = Event.objects.filter(state=Event.State.DEAD).values("pk")[:_MOST_DEAD].count()
    return {
        "ranges": [{"key": key, "name": option.name, "is_chosen": option is span} for key, option in RANGES.items()],
        "span": span,
        "step": duration(span.step),
        "figures": _figures(whole, span, dead),
        "problems": _problems(),
        "throughput": bar_chart(
            labels,
            [
                _series("done", "good", steps),
                _series("superseded", "plain", steps),
                _series("unhandled", "warn", steps),
                _series("waiting", "info", steps),
                _series("dead", "bad", steps),
            ],
            _count,
        ),
        "lag": line_chart(
            labels,
            [
                Series(name="p50", tone="info", values=[step.lag_p50_s for step in steps]),
                Series(name="p95", tone="warn", values=[step.lag_p95_s for step in steps]),
            ],
            duration,
        ),
        "failures": bar_chart(labels, [_series("retries", "warn", steps), _series("dead", "bad", steps)], _count),
    }


def _problems() -> list[str]:
    try:
        return [str(group) for group in groups_behind()]
    except REDIS_ERRORS:
        return ["Redis does not answer, so that no event comes from the stream."]


def _figures(whole: Flow, span: Range, dead: int) -> list[dict[str, Any]]:
    rate = whole.total / span.length.total_seconds()
    return [
        {"name": "received", "value": f"{whole.total:,}", "note": f"{rate:.3g} a second"},
        {"name": "publish to effect, p50", "value": duration(whole.lag_p50_s), "note": "of what was applied"},
        {"name": "p95", "value": duration(whole.lag_p95_s), "note": "of what was applied"},
        {"name": "unhandled", "value": f"{whole.unhandled:,}", "note": "no handler takes them"},
        {"name": "retries", "value": f"{whole.retries:,}", "note": f"{whole.waiting:,} waiting"},
        {
            "name": "dead letters",
            "value": f"{whole.dead:,}",
            "note": f"{dead:,}{'+' if dead == _MOST_DEAD else ''} in all",
            "is_bad": dead > 0,
        },
    ]


def _series(name: str, tone: str, steps: list[Flow]) -> Series:
    return Series(name=name, tone=tone, values=[getattr(step, name) for step in steps])


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
