"""Sums of what models cost: a million calls a month are read as some thousand rows, some for each day that is over."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from chat.models import CostKind, ModelCall, SpendingDay
from common.locks import held

SHOWN_BY = ("purpose", "model", "context", "tier", "key__name")
"""What the calls of a time are summed by, besides the day and the user."""
USER_DAYS = 7
"""Users are summed call by call, so for no longer than this."""
_MOST_USERS = 20
_SETTLED_AFTER = timedelta(hours=1)
"""After midnight: the last answers of a day are stored by then."""


@dataclass(kw_only=True)
class Spent:
    """What some calls cost together."""

    calls: int = 0
    tokens: int = 0
    usd: Decimal = Decimal()
    """The cost of the calls whose cost is known."""
    estimated: int = 0
    """Calls whose cost is estimated."""
    unknown: int = 0
    """Calls whose cost is not known."""

    def add(self, row: dict[str, Any]) -> None:
        self.calls += row["count"]
        self.tokens += row["tokens"] or 0
        self.usd += row["usd"] or 0
        self.estimated += row["count"] if row["kind"] == CostKind.ESTIMATED else 0
        self.unknown += row["count"] if row["kind"] == CostKind.UNKNOWN else 0


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What the calls of some days cost."""

    whole: Spent
    days: dict[date, dict[str, Decimal]]
    """For each day in UTC, without a gap, US dollars by purpose."""
    by: dict[str, dict[str, Spent]]
    """For each of SHOWN_BY and `user_id`, what each of its values cost, the dearest first."""


def spending_of(days: int) -> Spending:
    """Return what the calls of the last days cost, today included; users of the last USER_DAYS at most."""
    today = timezone.now().astimezone(UTC).date()
    since = today - timedelta(days=days - 1)
    whole = Spent()
    by_day = {since + timedelta(days=number): dict[str, Decimal]() for number in range(days)}
    by: dict[str, dict[str, Spent]] = {name: {} for name in SHOWN_BY}
    for row in _rows(since):
        whole.add(row)
        day = by_day.setdefault(row["of"], {})
        day[row["purpose"]] = day.get(row["purpose"], Decimal()) + (row["usd"] or 0)
        for name in SHOWN_BY:
            by[name].setdefault(row[name] or "", Spent()).add(row)
    by = {name: _dearest_first(values.items()) for name, values in by.items()}
    by["user_id"] = _users(max(since, today - timedelta(days=USER_DAYS - 1)))
    return Spending(whole=whole, days=by_day, by=by)


def spent_since(day: date, *, tier: str | None = None, user_id: str | None = None, key: int | None = None) -> Decimal:
    """Return what was spent from the beginning of a day on, in US dollars: by all, a tier, a user, or an API key."""
    if user_id is not None or key is not None:  # each has an index
        own = Q(user_id=user_id) if user_id is not None else Q(key=key)
        return _sum(ModelCall.objects.filter(own, created_at__gte=start_of(day)))
    of_tier = Q() if tier is None else Q(tier=tier)
    first_open = max(day, _first_open_day())
    closed = _sum(SpendingDay.objects.filter(of_tier, day__gte=day))
    return closed + _sum(ModelCall.objects.filter(of_tier, created_at__gte=start_of(first_open)))


def roll_up() -> None:
    """Sum up the days that are over into SpendingDay, each once; one worker does it at a time."""
    with held("spending of days") as is_mine:
        until = (timezone.now() - _SETTLED_AFTER).astimezone(UTC).date()
        first = _first_open_day()
        if not is_mine or first >= until:
            return
        with connection.cursor() as cursor:
            cursor.execute(_ROLL_UP, [start_of(first), start_of(until)])


_ROLL_UP = """
INSERT INTO chat_spendingday
    (day, purpose, provider, model, context, tier, key_id, kind, calls, prompt_tokens, completion_tokens, cost_usd)
SELECT (created_at AT TIME ZONE 'UTC')::date, purpose, provider, model, context, tier, key_id, kind,
    count(*), sum(prompt_tokens), sum(completion_tokens), sum(cost_usd)
FROM chat_modelcall WHERE created_at >= %s AND created_at < %s
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _first_open_day() -> date:
    """Return the day after the last one that is summed up."""
    last = SpendingDay.objects.aggregate(last=Max("day"))["last"]
    return last + timedelta(days=1) if last else date(1970, 1, 1)


def _rows(since: date) -> list[dict[str, Any]]:
    sums = {"tokens": Sum("prompt_tokens") + Sum("completion_tokens"), "usd": Sum("cost_usd")}
    closed = SpendingDay.objects.filter(day__gte=since).values("kind", *SHOWN_BY, of=TruncDate("day"))
    calls = ModelCall.objects.filter(created_at__gte=start_of(max(since, _first_open_day())))
    calls = calls.values("kind", *SHOWN_BY, of=TruncDate("created_at", tzinfo=UTC))
    return [*closed.annotate(count=Sum("calls"), **sums), *calls.annotate(count=Count("pk"), **sums)]


def _users(since: date) -> dict[str, Spent]:
    found = ModelCall.objects.filter(created_at__gte=start_of(since)).exclude(user_id="").values("user_id")
    top = found.annotate(
        count=Count("pk"),
        tokens=Sum("prompt_tokens") + Sum("completion_tokens"),
        usd=Sum("cost_usd", default=Decimal()),
    ).order_by("-usd", "user_id")
    rows: Iterable[Any] = top[:_MOST_USERS]
    return {row["user_id"]: Spent(calls=row["count"], tokens=row["tokens"] or 0, usd=row["usd"]) for row in rows}


def _sum(rows: Any) -> Decimal:
    total: Decimal = rows.aggregate(usd=Sum("cost_usd", default=Decimal()))["usd"]
    return total


def _dearest_first(values: Iterable[tuple[str, Spent]]) -> dict[str, Spent]:
    return dict(sorted(values, key=lambda pair: (-pair[1].usd, -pair[1].calls, pair[0])))
