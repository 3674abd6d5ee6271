"""A stream of a response that does something else where nobody ever reads it."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any

from common.background import spawn

Work = Callable[[], Coroutine[Any, Any, object]]


class GuardedStream(AsyncIterator[bytes]):
    """Yield what a generator yields; start `if_unread` if the response is closed or dropped before its first piece.

    A client may leave between a view's response and the first piece of it. A generator that was never started runs
    none of its `finally`. The work is started in the loop that made the stream, and must not refer to it.
    """

    def __init__(self, content: AsyncGenerator[bytes, None], if_unread: Work) -> None:
        self._content = content
        self._unread = weakref.finalize(self, _start, asyncio.get_running_loop(), if_unread)
        self._unread.atexit = False  # nothing runs in the loop then

    def __aiter__(self) -> "GuardedStream":
        return self

    async def __anext__(self) -> bytes:
        self._unread.detach()
        return await anext(self._content)

    def close(self) -> None:
        """End the response, which Django does in any thread."""
        self._unread()

    async def aclose(self) -> None:
        self.close()
        await self._content.aclose()


def _start(loop: asyncio.AbstractEventLoop, work: Work) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(lambda: spawn(work()))
