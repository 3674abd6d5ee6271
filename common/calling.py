"""Calls of the functions that users declare."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import sync_to_async


async def call(
    function: Callable[..., Any], *args: Any, executor: ThreadPoolExecutor | None = None, **kwargs: Any
) -> Any:
    """Call a definition's function; a synchronous one runs in a thread, where it may use the ORM."""
    if iscoroutinefunction(function):
        return await function(*args, **kwargs)
    return await sync_to_async(function, thread_sensitive=executor is None, executor=executor)(*args, **kwargs)
