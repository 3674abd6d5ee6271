"""A budget is a promise: never a cent more, however many ask at once, with and without Redis."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.utils import timezone

from chat.checks import check_budgets
from chat.cost_budgets import counters, reservations
from chat.cost_budgets.budget import Budget
from chat.cost_budgets.configured import budgets_of
from chat.cost_budgets.reservations import BudgetReservation, recount, reserve, settle
from chat.engine.beginning import begin
from chat.errors import CostBudgetExhausted
from chat.models import ApiKey, Message, ModelCall, ReservedCost
from chat.spending.calls import Spender
from chat.turns.turn import Question, Turn
from common.redis import async_redis
from events.models import Event
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db
ANA = Spender(user_id="ana", tier="free")


@pytest.fixture(autouse=True)
def nothing_missed() -> None:
    reservations._missed.clear()


@pytest.fixture
def dollar(settings: Any) -> list[Budget]:
    """A budget of one dollar a day."""
    settings.FABRA_BUDGETS = {"installation": {"day": 1}}
    return budgets_of(ANA)


def reserve_many(found: list[Budget], usd: str, count: int) -> list[BudgetReservation]:
    async def run() -> list[Any]:
        return await asyncio.gather(*(reserve(found, Decimal(usd)) for _ in range(count)), return_exceptions=True)

    results = async_to_sync(run)()
    assert all(isinstance(result, BudgetReservation | CostBudgetExhausted) for result in results), results
    return [result for result in results if isinstance(result, BudgetReservation)]


def spend(usd: str, days_ago: int = 0, **more: Any) -> None:
    fields = {"purpose": "answer", "provider": "p", "model": "m", "kind": "exact", "user_id": "ana", "tier": "free"}
    ModelCall.objects.create(**fields | more, cost_usd=usd, created_at=timezone.now() - timedelta(days=days_ago))


def test_of_fifty_at_once_exactly_as_many_are_let_in_as_it_pays_for(dollar: list[Budget]) -> None:
    spend("0.3")  # before Redis knew anything
    assert len(reserve_many(dollar, "0.1", 50)) == 7


def test_the_same_without_redis(dollar: list[Budget], redis_down: None) -> None:
    spend("0.3")
    assert len(reserve_many(dollar, "0.1", 20)) == 7
    assert ReservedCost.objects.count() == 7


def test_what_a_call_really_cost_takes_the_place_of_what_was_reserved(dollar: list[Budget]) -> None:
    (reserved,) = reserve_many(dollar, "0.9", 1)
    assert reserve_many(dollar, "0.2", 1) == []
    async_to_sync(settle)(reserved, Decimal("0.1"))
    assert len(reserve_many(dollar, "0.9", 2)) == 1


def test_without_redis_too(dollar: list[Budget], redis_down: None) -> None:
    (reserved,) = reserve_many(dollar, "0.9", 1)
    assert reserve_many(dollar, "0.2", 1) == []
    spend("0.1")
    async_to_sync(settle)(reserved, Decimal("0.1"))
    assert len(reserve_many(dollar, "0.9", 2)) == 1


def run_redis(command: str, *arguments: Any, **more: Any) -> None:
    async def run() -> None:
        await getattr(await async_redis(), command)(*arguments, **more)

    async_to_sync(run)()


def let_end(*reservations: BudgetReservation) -> None:
    """Let reservations be so old that nobody settles them any more."""
    run_redis("zadd", counters.open_key(), {reservation.entry: 1.0 for reservation in reservations}, xx=True)


def test_what_redis_lost_is_summed_up_again(dollar: list[Budget]) -> None:
    reserve_many(dollar, "0.1", 1)
    run_redis("delete", *[counters.counter_key(budget) for budget in dollar])
    spend("0.85")
    assert reserve_many(dollar, "0.1", 1) == []
    assert len(reserve_many(dollar, "0.05", 2)) == 1, "what was reserved before is so still"


@pytest.mark.parametrize("is_known_before", [True, False], ids=["with a call in between", "at once"])
def test_a_cost_that_redis_was_not_told_counts_once_its_reservation_ends(
    dollar: list[Budget], settings: Any, is_known_before: bool
) -> None:
    (reserved,) = reserve_many(dollar, "0.5", 1)
    spend("0.1")
    url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    async_to_sync(settle)(reserved, Decimal("0.1"))
    settings.REDIS_URL = url
    if is_known_before:
        for other in reserve_many(dollar, "0.5", 3):  # one, beside the one that is not settled
            async_to_sync(settle)(other, Decimal(0))
    let_end(reserved)
    assert len(reserve_many(dollar, "0.1", 20)) == 9


def test_a_cost_whose_process_died_before_it_was_settled_counts_once_its_reservation_ends(
    dollar: list[Budget],
) -> None:
    (reserved,) = reserve_many(dollar, "0.5", 1)
    spend("0.4")  # its row, which is the last that its process did
    assert len(reserve_many(dollar, "0.1", 20)) == 5
    let_end(reserved)
    assert len(reserve_many(dollar, "0.1", 20)) == 1  # 0.4 and five times 0.1 are taken


def test_a_reservation_that_redis_made_without_the_caller_hearing_of_it_ends_by_itself(dollar: list[Budget]) -> None:
    lost = BudgetReservation(budgets=dollar, nano_usd=0, entry=counters.entry_of(dollar, "lost", 600_000_000))

    async def reserve_unheard() -> None:
        for _ in range(2):
            reserved = await counters.reserve(dollar, lost.entry, 600_000_000, 60)
            await reservations._count(reserved.uncounted)

    async_to_sync(reserve_unheard)()
    assert len(reserve_many(dollar, "0.1", 9)) == 4
    let_end(lost)
    assert len(reserve_many(dollar, "0.1", 20)) == 6


def test_what_is_summed_up_anew_leaves_what_is_reserved(dollar: list[Budget]) -> None:
    open_ones = reserve_many(dollar, "0.3", 2)
    async_to_sync(counters.forget)([counters.counter_key(budget) for budget in dollar])
    assert len(reserve_many(dollar, "0.1", 20)) == 4
    for entry in open_ones:
        async_to_sync(settle)(entry, Decimal("0.1"))
    assert len(reserve_many(dollar, "0.1", 20)) == 4


def test_what_is_settled_while_it_is_summed_up_is_not_lost(dollar: list[Budget]) -> None:
    (reserved,) = reserve_many(dollar, "0.5", 1)
    (before,) = async_to_sync(counters.settled_of)(dollar)
    assert before == (dollar[0], 0)
    async_to_sync(settle)(reserved, Decimal("0.3"))  # after PostgreSQL was asked, which knew no row
    async_to_sync(counters.count)([(dollar[0], 0, 0)])
    assert len(reserve_many(dollar, "0.1", 20)) == 7


def test_what_nobody_told_redis_is_found_now_and_then(dollar: list[Budget]) -> None:
    (reserved,) = reserve_many(dollar, "0.1", 1)
    spend("0.75")
    async_to_sync(settle)(reserved, Decimal(0))
    run_redis("hset", counters.counter_key(dollar[0]), "counted_at", 1)
    assert len(reserve_many(dollar, "0.1", 1)) == 1  # which sums up anew, while others go on
    assert len(reserve_many(dollar, "0.1", 20)) == 1


def test_beat_sums_up_what_many_share(dollar: list[Budget]) -> None:
    reserve_many(dollar, "0.1", 1)
    spend("0.85")
    async_to_sync(recount)()
    assert reserve_many(dollar, "0.1", 20) == []
    assert Event.objects.filter(event_type="budget_warning").count() == 1
    async_to_sync(recount)()
    assert Event.objects.filter(event_type="budget_warning").count() == 1


def test_what_was_let_in_without_redis_counts_when_it_is_back(dollar: list[Budget], settings: Any) -> None:
    reserve_many(dollar, "0.1", 1)
    url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    (reserved,) = reserve_many(dollar, "0.6", 1)
    settings.REDIS_URL = url
    assert len(reserve_many(dollar, "0.1", 20)) == 3
    spend("0.6")
    async_to_sync(settle)(reserved, Decimal("0.6"))
    assert reserve_many(dollar, "0.1", 20) == []


def test_what_a_process_that_died_had_reserved_ends_by_itself(dollar: list[Budget], settings: Any) -> None:
    spend("0.1")
    settings.FABRA_CHAT_DEADLINE_S = 0
    (late,) = reserve_many(dollar, "0.9", 1)  # over at once; its process is gone, or hangs
    settings.FABRA_CHAT_DEADLINE_S = 60
    (other,) = reserve_many(dollar, "0.5", 2)
    assert len(reserve_many(dollar, "0.4", 2)) == 1
    # It was not gone after all: what it cost counts, and nothing is given back a second time.
    async_to_sync(settle)(late, Decimal("0.2"))
    async_to_sync(settle)(other, Decimal("0"))
    assert len(reserve_many(dollar, "0.1", 5)) == 3


def test_the_reservation_of_a_turn_whose_process_is_killed_ends_by_itself(
    bot: None, ask: Any, model: ModelServer, settings: Any
) -> None:
    settings.FABRA_MODEL_PRICES = {"gpt-4o-mini": [1, 2]}
    settings.FABRA_BUDGETS = {"installation": {"day": 0.0035}}
    turn = async_to_sync(begin)(Question(user_id="user_123", message="How do I reset my password?"))
    assert isinstance(turn, Turn) and turn.reservation is not None  # some 0.0023; and nothing runs or settles it
    assert ask().status_code == 402
    let_end(turn.reservation)
    assert ask().status_code == 200


def test_all_budgets_accept_a_call_or_none_counts_it(settings: Any) -> None:
    settings.FABRA_BUDGETS = {
        "installation": {"month": 100}, "tiers": {"free": {"day": 1, "user_day": 0.5}, "*": {"user_month": 3}},
    }  # fmt: skip
    key, _ = ApiKey.make("shop", ["chat"], daily_budget_usd=Decimal("0.2"))
    both = budgets_of(Spender(user_id="ana", tier="free", key=key))
    assert [(budget.scope, budget.period) for budget in both] == [
        ("installation", "month"), ("tier", "day"), ("user", "day"), ("key", "day"),
    ]  # fmt: skip
    assert len(reserve_many(both, "0.1", 5)) == 2  # the key's
    assert len(reserve_many(budgets_of(ANA), "0.1", 5)) == 3  # and what it left of the user's
    assert len(reserve_many(budgets_of(Spender(user_id="ben", tier="free")), "0.1", 9)) == 5  # and of the tier's
    assert [budget.scope for budget in budgets_of(Spender(user_id="eva", tier="gold"))] == ["installation", "user"]
    assert [budget.scope for budget in budgets_of(Spender(user_id="eva"))] == ["installation"]


def test_yesterday_is_not_todays_but_this_months(settings: Any) -> None:
    settings.FABRA_BUDGETS = {"installation": {"day": 1, "month": 1}}
    day, month = budgets_of(ANA)
    spend("0.9", days_ago=1)
    is_first_of_month = timezone.now().astimezone(UTC).day == 1
    assert day.spent() == 0
    assert month.spent() == (0 if is_first_of_month else Decimal("0.9"))


@pytest.mark.parametrize(
    ("period", "starts", "resets_at"),
    [
        ("day", date(2026, 12, 31), datetime(2027, 1, 1, tzinfo=UTC)),
        ("month", date(2026, 12, 1), datetime(2027, 1, 1, tzinfo=UTC)),
        ("month", date(2028, 2, 1), datetime(2028, 3, 1, tzinfo=UTC)),
    ],
)
def test_it_begins_anew_with_the_next_day_or_month(period: str, starts: date, resets_at: datetime) -> None:
    budget = Budget(scope="installation", subject="", period=period, starts=starts, limit_usd=Decimal(1))
    assert budget.resets_at == resets_at


def test_four_fifths_are_told_once_by_event(dollar: list[Budget]) -> None:
    for _ in range(3):
        for reserved in reserve_many(dollar, "0.27", 1):
            async_to_sync(settle)(reserved, Decimal("0.27"))
    reserve_many(dollar, "0.01", 1)
    event = Event.objects.get(event_type="budget_warning")
    assert (event.entity_id, event.payload["period"], event.payload["limit_usd"]) == ("installation", "day", 1.0)


def test_a_warning_that_could_not_be_stored_is_told_by_the_next_call(dollar: list[Budget]) -> None:
    def call() -> None:
        for reserved in reserve_many(dollar, "0.05", 1):
            async_to_sync(settle)(reserved, Decimal("0.05"))

    spend("0.85")
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
            "CREATE TRIGGER refuse BEFORE INSERT ON events_event EXECUTE FUNCTION refuse()"
        )
        call()
        assert not Event.objects.exists()
        cursor.execute("DROP FUNCTION refuse CASCADE")
    call()
    assert Event.objects.filter(event_type="budget_warning").count() == 1


def test_a_refused_call_tells_what_could_not_be_told_before(dollar: list[Budget]) -> None:
    reserve_many(dollar, "0.01", 1)
    run_redis("hset", counters.counter_key(dollar[0]), "spent", 1_000_000_000)
    assert reserve_many(dollar, "0.01", 1) == []
    assert Event.objects.filter(event_type="budget_warning").count() == 1


def test_a_limit_that_is_raised_has_a_warning_of_its_own(dollar: list[Budget], settings: Any) -> None:
    for limit, usd in ((1, "0.85"), (2, "0.85")):
        settings.FABRA_BUDGETS = {"installation": {"day": limit}}
        (reserved,) = reserve_many(budgets_of(ANA), usd, 1)
        async_to_sync(settle)(reserved, Decimal(usd))
    told = Event.objects.filter(event_type="budget_warning").order_by("pk")
    assert [event.payload["limit_usd"] for event in told] == [1.0, 2.0]


def test_without_redis_they_are_told_too(dollar: list[Budget], redis_down: None) -> None:
    spend("0.85")
    reserve_many(dollar, "0.01", 2)
    assert Event.objects.filter(event_type="budget_warning").count() == 1


def test_a_message_beyond_the_budget_is_refused_before_the_model_is_asked(
    bot: None, ask: Any, model: ModelServer, settings: Any
) -> None:
    settings.FABRA_MODEL_PRICES = {"gpt-4o-mini": [1, 2]}
    settings.FABRA_BUDGETS = {"tiers": {"premium": {"user_day": 0.0035}}}
    left = ask().headers["X-RateLimit-Remaining"]  # reserves some 0.0023, and costs 0.00014
    assert [ask().status_code for _ in range(2)] == [200, 200]
    settings.FABRA_BUDGETS = {"tiers": {"premium": {"user_day": 0.001}}}
    calls = len(model.requests)
    refused = ask()
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exhausted")
    error = refused.json()["error"]
    assert (error["budget"], error["period"]) == ("user", "day")
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    assert datetime.fromisoformat(error["resets_at"]) > timezone.now()
    assert len(model.requests) == calls
    assert Message.objects.filter(role="user").count() == 3
    settings.FABRA_BUDGETS = {}
    assert int(ask().headers["X-RateLimit-Remaining"]) == int(left) - 4, "the refused message counts"


def test_what_failed_costs_nothing(bot: None, ask: Any, model: ModelServer, settings: Any) -> None:
    settings.FABRA_MODEL_PRICES, settings.FABRA_MODEL_RETRIES = {"gpt-4o-mini": [1, 2]}, 0
    settings.FABRA_BUDGETS = {"installation": {"day": 0.0035}}
    model.behaviour = "500"
    assert [ask().status_code for _ in range(3)] == [502, 502, 502]
    model.behaviour = "answer"
    assert ask().status_code == 200


def test_the_budget_of_a_key_is_its_own(bot: None, client: Any, model: ModelServer, settings: Any) -> None:
    settings.FABRA_MODEL_PRICES = {"gpt-4o-mini": [1, 2]}
    _, key = ApiKey.make("shop", ["chat"], monthly_budget_usd=Decimal("0.0001"))
    body = {"user_id": "user_123", "message": "How do I reset my password?"}
    sent = {"content_type": "application/json", "HTTP_AUTHORIZATION": f"Bearer {key}"}
    refused = client.post("/chat", body, **sent)
    assert (refused.status_code, refused.json()["error"]["period"]) == (402, "month")
    assert client.post("/chat", body, content_type="application/json").status_code == 200


def test_with_the_operators_leave_passages_are_quoted_instead(
    bot: None, ask: Any, model: ModelServer, settings: Any
) -> None:
    settings.FABRA_MODEL_PRICES, settings.FABRA_MODEL_FALLBACK = {"gpt-4o-mini": [1, 2]}, "extractive"
    settings.FABRA_BUDGETS = {"installation": {"day": 0}}
    body = ask().json()
    assert (body["extractive"], "budget_exhausted" in body["flags"]) == (True, True)
    assert "is used up" in body["notice"]
    assert model.requests == []


@pytest.mark.parametrize(
    "given",
    [
        {"instalation": {"day": 1}}, {"installation": {"week": 1}}, {"tiers": {"free": {"day": "1"}}}, {"tiers": []},
        {"installation": {"day": -1}}, {"tiers": {"free": 1}}, [],
    ],
)  # fmt: skip
def test_budgets_that_mean_nothing_are_told_at_the_start(given: Any, settings: Any) -> None:
    settings.FABRA_BUDGETS = given
    assert [message.id for message in check_budgets()] == ["chat.E003"]
    settings.FABRA_BUDGETS = {"installation": {"day": 1.5}, "tiers": {"*": {"user_month": 2}}}
    assert check_budgets() == []
