"""Work beside a request, and the threads that requests hold."""

import asyncio
import threading

from asgiref.sync import ThreadSensitiveContext, sync_to_async

from common.background import release_thread

REQUESTS = 50


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
