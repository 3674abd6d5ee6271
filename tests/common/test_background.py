"""Work that outlives its request has a database thread of its own in the web process, and the caller's elsewhere."""

import asyncio
import threading
from typing import Any

from asgiref.sync import sync_to_async

from common.background import spawn, with_own_thread

here = sync_to_async(threading.get_ident)


async def thread_twice() -> tuple[int, int]:
    return await here(), await here()


def test_two_at_one_time_in_the_web_process_share_no_thread(settings: Any) -> None:
    settings.IS_WEB = True

    async def both() -> list[tuple[int, int]]:
        return list(await asyncio.gather(with_own_thread(thread_twice()), with_own_thread(thread_twice())))

    first, second = asyncio.run(both())
    assert first[0] == first[1] != second[0] == second[1]


def test_elsewhere_the_work_stays_in_the_callers_thread(settings: Any) -> None:
    settings.IS_WEB = False

    async def both() -> tuple[int, int]:
        return await here(), await with_own_thread(here())

    first, second = asyncio.run(both())
    assert first == second


def test_a_task_that_is_spawned_runs_to_its_end_though_nobody_keeps_it() -> None:
    done = threading.Event()

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.set()

    async def start() -> None:
        spawn(work(), uses_database=False)
        await asyncio.sleep(0.05)

    asyncio.run(start())
    assert done.is_set()
