"""Database threads are kept from one block to the next, and never shared by two at a time."""

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async

from common.background import _idle, own_thread

here = sync_to_async(threading.get_ident)


async def _thread_of_a_block() -> int:
    async with own_thread():
        return await here()


def test_a_thread_is_kept_for_the_next_block() -> None:
    async def twice() -> tuple[int, int]:
        return await _thread_of_a_block(), await _thread_of_a_block()

    first, second = asyncio.run(twice())
    assert first == second != threading.get_ident()


def test_blocks_at_one_time_have_threads_of_their_own() -> None:
    async def both() -> set[int]:
        async with own_thread():
            return {await here(), await _thread_of_a_block(), await here()}

    assert len(asyncio.run(both())) == 2


def test_a_thread_that_may_still_be_busy_is_not_kept() -> None:
    busy, release = threading.Event(), threading.Event()

    def work() -> None:
        busy.set()
        release.wait(10)

    async def leave() -> None:
        _idle.clear()
        task = asyncio.create_task(_block())
        await asyncio.to_thread(busy.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def _block() -> None:
        async with own_thread():
            await sync_to_async(work)()

    try:
        asyncio.run(leave())
        assert not _idle
    finally:
        release.set()
