"""Coroutines that outlive, or are shared beyond, the request that started them."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from asgiref.sync import AsyncToSync, ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections

T = TypeVar("T")

_tasks: set[asyncio.Task[Any]] = set()


async def with_own_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await with a database thread of its own, whose connection goes back when it is done.

    Without it such work would use the thread of a request that may have ended, or share a single one. Under
    `async_to_sync` (a worker, a test) the database work stays in the caller's thread.
    """
    if getattr(AsyncToSync.executors, "current", None) is not None:
        return await coroutine
    executor = ThreadPoolExecutor(max_workers=1)
    try:
        async with ThreadSensitiveContext(executor=executor):
            try:
                return await coroutine
            finally:
                await sync_to_async(close_old_connections)()
    finally:
        executor.shutdown(wait=False)


def spawn(coroutine: Coroutine[Any, Any, T], *, uses_database: bool = True) -> asyncio.Task[T]:
    """Start a task, on a database thread of its own if it needs one; it is kept until it is done."""
    task = asyncio.get_running_loop().create_task(with_own_thread(coroutine) if uses_database else coroutine)
    _tasks.add(task)  # the loop holds tasks only weakly
    task.add_done_callback(_tasks.discard)
    # A loop that ends before the task's first step leaves the coroutine unawaited, which Python would complain of.
    task.add_done_callback(lambda _: coroutine.close())
    return task
