"""Coroutines that outlive, or are shared beyond, the request that started them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from asgiref.sync import AsyncToSync, ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections

T = TypeVar("T")

HEAD_START_S = 0.02
"""For a request, before the work that can wait for it: a millisecond of that would hold up its call of the model."""

_tasks: set[asyncio.Task[Any]] = set()
_idle: list[ThreadPoolExecutor] = []
_IDLE_MOST = 64


@asynccontextmanager
async def own_thread() -> AsyncIterator[None]:
    """Give the block a database thread that nobody else uses meanwhile; it is kept for later blocks.

    A block's last database work must have ended when the block does, unless it ends with an exception.
    """
    executor, is_idle = _idle.pop() if _idle else ThreadPoolExecutor(max_workers=1), False
    try:
        async with ThreadSensitiveContext(executor=executor):
            yield
        is_idle = len(_idle) < _IDLE_MOST
    finally:
        if is_idle:
            _idle.append(executor)
        else:
            executor.shutdown(wait=False)


async def with_own_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await with a database thread of its own, whose connection goes back when it is done.

    Without it such work would use the thread of a request that may have ended, or share a single one. Under
    `async_to_sync` (a worker, a test) the database work stays in the caller's thread.
    """
    if getattr(AsyncToSync.executors, "current", None) is not None:
        return await coroutine
    async with own_thread():
        try:
            return await coroutine
        finally:
            await sync_to_async(close_old_connections)()


def spawn(coroutine: Coroutine[Any, Any, T], *, uses_database: bool = True, after_s: float = 0.0) -> asyncio.Task[T]:
    """Start a task, on a database thread of its own if it needs one; it is kept until it is done."""
    work = with_own_thread(coroutine) if uses_database else coroutine
    task = asyncio.get_running_loop().create_task(_later(work, after_s) if after_s else work)
    _tasks.add(task)  # the loop holds tasks only weakly
    task.add_done_callback(_tasks.discard)
    # A loop that ends before the task's first step leaves the coroutine unawaited, which Python would complain of.
    task.add_done_callback(lambda _: coroutine.close())
    return task


async def _later(work: Coroutine[Any, Any, T], after_s: float) -> T:
    await asyncio.sleep(after_s)
    return await work
