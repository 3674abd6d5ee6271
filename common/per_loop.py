"""Clients that belong to one event loop: one per running loop, closed with it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Make one client per event loop, at its first use.

    The client is held by an async generator, because a loop that ends (`asyncio.run`, `async_to_sync`) closes its
    async generators, and so the client's connections. The generator refers to its loop, so a weak key would never be
    collected: an entry is removed when its generator ends. Entries of loops that were closed without ending their
    generators are removed when the next loop calls `get`.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._held: dict[asyncio.AbstractEventLoop, tuple[AsyncGenerator[T, None], T]] = {}

    def __len__(self) -> int:
        """Return how many loops have a client."""
        return len(self._held)

    async def get(self) -> T:
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            self._forget_closed()
            generator = self._hold(loop)
            held = self._held[loop] = (generator, await anext(generator))
        return held[1]

    async def _hold(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[T, None]:
        client = self._make()
        try:
            yield client
        finally:
            self._held.pop(loop, None)
            await self._close(client)

    def _forget_closed(self) -> None:
        for loop in list(self._held):  # a copy, because other threads may add entries meanwhile
            if loop.is_closed():
                self._held.pop(loop, None)
