"""The page of what models cost: by day as a chart, and by what they were asked for."""

from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse

from chat.cost_budgets.configured import states
from chat.models import Purpose
from chat.spending.sums import USER_DAYS, Spending, Spent, spending_of
from common.admin.charts import Series, bar_chart
from common.admin.html import bar, one_line, short, table
from common.admin.permissions import needs
from common.admin.site import render, site

RANGES = {"7": 7, "30": 30, "90": 90, "365": 365}
TONES = {
    Purpose.ANSWER: "good", Purpose.REWRITE: "info", Purpose.SUMMARY: "warn", Purpose.GAP: "bad",
    Purpose.CHECK: "plain",
}  # fmt: skip
_NAMES = {"purpose": "Purpose", "model": "Model", "context": "Context", "tier": "Tier", "key__name": "API key"}


@needs("chat.view_modelcall")
def show(request: HttpRequest) -> HttpResponse:
    """Show what the models cost, by day and by what for."""
    days = RANGES.get(request.GET.get("range", ""), RANGES["30"])
    page = {"title": "Spending", **spending_page(days)}
    return render(request, "admin/chat/modelcall/spending.html", site.each_context(request) | page)


def spending_page(days: int) -> dict[str, Any]:
    """Return the template's context."""
    found = spending_of(days)
    return {
        "ranges": [{"key": key, "name": f"{count} days", "is_chosen": count == days} for key, count in RANGES.items()],
        "figures": _figures(found, days),
        "chart": _chart(found),
        "budgets": [
            {
                "name": one_line(state.budget.what),
                "period": state.budget.period,
                "bar": bar(
                    float(state.spent_usd),
                    float(state.budget.limit_usd),
                    f"{money(state.spent_usd)} of {money(state.budget.limit_usd)}",
                    "bad" if state.share >= 1 else "warn" if state.share >= 0.8 else "good",
                ),
                "resets": one_line(f"{state.budget.resets_at:%Y-%m-%d %H:%M} UTC"),
            }
            for state in states()
        ],
        "tables": [
            {"title": title, "table": _table(found.by[name], found.whole)} for name, title in _NAMES.items()
        ] + [{"title": f"User, last {min(days, USER_DAYS)} days", "table": _table(found.by["user_id"], None)}],
    }  # fmt: skip


def money(usd: Decimal | float) -> str:
    """Return an amount with as many digits as it needs to be seen."""
    return f"${usd:,.2f}" if usd >= 10 or not usd else f"${usd:,.4f}"


def _figures(found: Spending, days: int) -> list[dict[str, Any]]:
    whole = found.whole
    today = sum(list(found.days.values())[-1].values(), Decimal()) if found.days else Decimal()
    answers = found.by["purpose"].get(Purpose.ANSWER, Spent())
    average = answers.usd / answers.calls if answers.calls else Decimal()
    return [
        {"name": f"last {days} days", "value": money(whole.usd), "note": f"{whole.calls:,} calls"},
        {"name": "today", "value": money(today), "note": "since 00:00 UTC"},
        {"name": "an answer", "value": money(average), "note": f"of {answers.calls:,}, on average"},
        {
            "name": "beside answers", "value": money(whole.usd - answers.usd),
            "note": "rewriting, summaries, gaps, checks",
        },
        {"name": "estimated", "value": f"{whole.estimated:,}", "note": "calls whose cost is estimated"},
        {
            "name": "unknown", "value": f"{whole.unknown:,}", "note": "calls without a price",
            "is_bad": whole.unknown > 0,
        },
    ]  # fmt: skip


def _chart(found: Spending) -> str:
    labels = [f"{day:%b %d}" for day in found.days]
    series = [
        Series(
            name=str(purpose.label).lower(),
            tone=tone,
            values=[float(day.get(purpose, 0)) for day in found.days.values()],
        )
        for purpose, tone in TONES.items()
        if any(day.get(purpose) for day in found.days.values()) or purpose == Purpose.ANSWER
    ]
    return bar_chart(labels, series, money)


def _table(found: dict[str, Spent], whole: Spent | None) -> str:
    dearest = float(max((spent.usd for spent in found.values()), default=Decimal())) or 1.0
    rows = [
        (
            one_line(short(name, 60) or "–"),
            one_line(f"{spent.calls:,}"),
            one_line(f"{spent.tokens:,}"),
            bar(float(spent.usd), float(whole.usd) or 1.0 if whole else dearest, money(spent.usd)),
            one_line(_how_well(spent)),
        )
        for name, spent in found.items()
    ]
    return table(("", "calls", "tokens", "cost", ""), rows, "No calls.")


def _how_well(spent: Spent) -> str:
    parts = [
        f"{count:,} {what}" for count, what in ((spent.estimated, "estimated"), (spent.unknown, "unknown")) if count
    ]
    return ", ".join(parts)
