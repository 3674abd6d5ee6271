"""Work beside a request, and the threads that requests hold."""

import asyncio
import threading
from contextlib import suppress
from contextvars import ContextVar

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async

from common.background import release_thread, repeat
from tests.processes import wait_until

REQUESTS = 50

of_request: ContextVar[str] = ContextVar("of_request", default="")


def test_requests_that_wait_hold_no_thread_and_work_on_in_another() -> None:
    before = threading.active_count()

    async def request(is_over: asyncio.Event) -> int:
        async with ThreadSensitiveContext():
            await sync_to_async(threading.get_ident)()
            release_thread()
            await is_over.wait()
            return await sync_to_async(threading.get_ident)()

    async def all_at_once() -> list[int]:
        is_over = asyncio.Event()
        tasks = [asyncio.create_task(request(is_over)) for _ in range(REQUESTS)]
        for _ in range(600):  # they end a little later
            await asyncio.sleep(0.05)
            if threading.active_count() <= before + 1:
                break
        assert threading.active_count() <= before + 1
        is_over.set()
        return await asyncio.gather(*tasks)

    assert len(asyncio.run(all_at_once())) == REQUESTS


def test_outside_a_request_there_is_nothing_to_release() -> None:
    async def work() -> int:
        release_thread()
        return await sync_to_async(lambda: 7)()

    assert asyncio.run(work()) == 7


@pytest.mark.parametrize("is_released", [False, True])
def test_after_the_release_a_request_works_as_in_djangos_own_way(is_released: bool) -> None:
    """One thread at a time, in order, with what was set in the request; all threads end with the request."""
    before = set(threading.enumerate())

    async def request() -> list[tuple[int, str]]:
        async with ThreadSensitiveContext():
            of_request.set("mine")
            await sync_to_async(threading.get_ident)()
            if is_released:
                release_thread()
            works = [sync_to_async(lambda: (threading.get_ident(), of_request.get()))() for _ in range(5)]
            return await asyncio.gather(*works)

    found = asyncio.run(request())
    assert len({thread for thread, _ in found}) == 1
    assert [value for _, value in found] == ["mine"] * 5
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread not in before])


def test_repeated_work_ends_with_its_task_though_it_lost_the_cancellation() -> None:
    async def run() -> int:
        began, calls = asyncio.Event(), 0

        async def work() -> None:
            nonlocal calls
            calls += 1
            began.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

        task = asyncio.create_task(repeat(work))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return calls

    assert asyncio.run(run()) == 1
