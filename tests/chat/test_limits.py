"""The limit is a promise: never one more, and nothing counted that we failed."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from chat.limits.admission import Admission, RateLimited
from chat.limits.messages import admit
from chat.models import Message, Reservation
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db


async def admit_many(count: int) -> tuple[int, int]:
    results = await asyncio.gather(*(admit("u", "free") for _ in range(count)), return_exceptions=True)
    assert all(isinstance(result, Admission | RateLimited) for result in results)
    return sum(isinstance(result, Admission) for result in results), count


def test_of_fifty_at_once_with_three_left_exactly_three_are_let_in(settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 20
    assert async_to_sync(admit_many)(17) == (17, 17)
    assert async_to_sync(admit_many)(50) == (3, 50)


def test_the_same_without_redis(settings: Any, redis_down: None) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 20
    assert async_to_sync(admit_many)(17) == (17, 17)
    assert async_to_sync(admit_many)(50) == (3, 50)
    assert Reservation.objects.count() == 20


def test_the_answer_carries_the_limit_and_the_refusal_when_to_come_back(bot: None, ask: Any, settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 2
    left = [ask(user_id="user_456").headers["X-RateLimit-Remaining"] for _ in range(2)]
    assert left == ["1", "0"]
    refused = ask(user_id="user_456")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
    assert 3590 <= int(refused.headers["Retry-After"]) <= 3600
    assert refused.headers["X-RateLimit-Limit"] == "2"
    assert int(refused.headers["X-RateLimit-Reset"]) > 0
    assert ask(user_id="user_123").headers["X-RateLimit-Limit"] == "100"
    assert Message.objects.filter(user_id="user_456", role="user").count() == 2


def test_what_we_failed_is_not_counted(bot: None, ask: Any, model: ModelServer) -> None:
    model.behaviour = "401"
    assert ask().status_code == 502
    model.behaviour = "answer"
    assert ask().headers["X-RateLimit-Remaining"] == "99"


def test_what_we_failed_is_not_counted_without_redis_either(
    bot: None, ask: Any, model: ModelServer, redis_down: None
) -> None:
    ask()
    assert not Reservation.objects.exists()
    model.behaviour = "401"
    assert ask().status_code == 502
    assert ask("").status_code == 400
    model.behaviour = "answer"
    assert ask().headers["X-RateLimit-Remaining"] == "98"


def test_a_bad_message_is_not_counted(bot: None, ask: Any) -> None:
    ask("")
    assert ask().headers["X-RateLimit-Remaining"] == "99"


def test_the_window_slides(settings: Any) -> None:
    settings.FABRA_RATE_LIMIT_DEFAULT = 1
    settings.FABRA_RATE_LIMIT_WINDOW = timedelta(milliseconds=300)

    async def admit_until_refused() -> None:
        while True:  # on a busy machine the window may have gone by between two
            await admit("u", None)

    async def wait_and_try() -> None:
        with pytest.raises(RateLimited) as refused:
            await admit_until_refused()
        await asyncio.sleep(max(0.0, refused.value.admission.resets_at.timestamp() - time.time()) + 0.02)
        await admit("u", None)

    async_to_sync(wait_and_try)()
