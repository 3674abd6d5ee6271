"""Clients that belong to one event loop: one for each running loop, closed with it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes a client for each loop at first use.

    The client lives in an async generator, since a loop that ends (`asyncio.run`, `async_to_sync`) closes its
    async generators, and so the client's connections with it.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._held: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[AsyncGenerator[T, None], T]] = (
            WeakKeyDictionary()
        )

    async def get(self) -> T:
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            generator = self._hold()
            held = self._held[loop] = (generator, await anext(generator))
        return held[1]

    async def _hold(self) -> AsyncGenerator[T, None]:
        client = self._make()
        try:
            yield client
        finally:
            await self._close(client)
