"""Coroutines that outlive, or are shared beyond, the request that started them."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections

T = TypeVar("T")

_tasks: set[asyncio.Task[Any]] = set()


async def with_own_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await with a database thread of its own, whose connection goes back when it is done.

    Without it all such work in a process would share a single thread.
    """
    async with ThreadSensitiveContext():
        try:
            return await coroutine
        finally:
            await sync_to_async(close_old_connections)()


def spawn(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task that inherits nothing of the request; it is kept until it is done."""
    task = asyncio.get_running_loop().create_task(with_own_thread(coroutine), context=Context())
    _tasks.add(task)  # the loop holds tasks only weakly
    task.add_done_callback(_tasks.discard)
    return task
