"""Work that outlives the request or task that started it, or is shared between requests."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.db import close_old_connections, connections

logger = logging.getLogger(__name__)

T = TypeVar("T")

HEAD_START_S = 0.02
"""Delay before background work, so that it does not hold up the request's call of the model by even a millisecond."""

_tasks: set[asyncio.Task[Any]] = set()


async def with_own_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await the coroutine with a database thread of its own; its connection returns to the pool at the end.

    Otherwise, in the web process, such work would use the thread of a request that may have ended, or share a
    single one. Elsewhere (a worker, a script, a test) the database work stays in the caller's thread.
    """
    if not settings.FABRA_WEB:
        return await coroutine
    async with ThreadSensitiveContext():
        try:
            return await coroutine
        finally:
            await sync_to_async(close_old_connections)()


def end_if_cancelled() -> None:
    """Raise CancelledError if the current task was asked to end: each turn of a loop calls it before it waits.

    A cancellation that comes just as what is awaited is done can be lost on its way: Python 3.11's `wait_for`, by which
    the Redis client sends, returns then, and so does `sync_to_async` around work that waits for a loop. The loop would
    go on for ever, and whoever waits for its end, too.
    """
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError


async def repeat(work: Callable[[], Awaitable[object]], every_s: float = 0.0) -> NoReturn:
    """Do the work again and again until the task is cancelled, after a pause of `every_s` each time."""
    while True:
        end_if_cancelled()
        if every_s:
            await asyncio.sleep(every_s)
        await work()


def release_thread() -> None:
    """End this request's database thread, which would wait with it; the next database work begins another.

    Django keeps a thread for each request until its response has ended: with 1,000 chats that wait for their model a
    process has 1,001 threads in Django's way, and 1 in this one. asgiref has no public way to end one earlier, so this
    uses two attributes of its `SyncToAsync`; without an entry there it does nothing. The caller has closed the
    connection, and no database work of the request is running.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    executor = SyncToAsync.context_to_thread_executor.pop(context, None) if context else None
    if executor:
        executor.shutdown(wait=False)


def spawn(coroutine: Coroutine[Any, Any, T], *, uses_database: bool = True, after_s: float = 0.0) -> asyncio.Task[T]:
    """Start a task, on a database thread of its own if it uses the database; hold a reference until it is done."""
    work = with_own_thread(coroutine) if uses_database else coroutine
    task = asyncio.get_running_loop().create_task(_later(work, after_s) if after_s else work)
    _tasks.add(task)  # the loop has only weak references to its tasks
    task.add_done_callback(_tasks.discard)
    # A loop that ends before the task's first step leaves the coroutine unawaited, which Python would warn about.
    task.add_done_callback(lambda _: coroutine.close())
    return task


async def finish_spawned() -> None:
    """Wait for what was spawned in this loop, which is about to end: a task of Celery has a loop for each call."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(task for task in _tasks if task.get_loop() is loop), return_exceptions=True)


def start_thread(work: Callable[..., object], *args: Any, **kwargs: Any) -> threading.Thread:
    """Run blocking work in a thread with database connections of its own; what it raises is logged.

    The process does not wait for it when it ends.
    """

    def run() -> None:
        try:
            work(*args, **kwargs)
        except Exception:
            logger.exception("%s failed.", getattr(work, "__qualname__", work))
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


async def _later(work: Coroutine[Any, Any, T], after_s: float) -> T:
    await asyncio.sleep(after_s)
    return await work
