"""A request's body that its view reads piece by piece, where Django would store it whole before the view begins."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

KEY = "fabra.body"
"""The key of the ASGI scope that has the StreamedBody of a request that was given one."""
_DRAIN_BYTES, _DRAIN_S = 20_000_000, 3.0
"""What is still read of a body that nobody wants: closed at once, the connection is reset before the answer arrives."""


class BodyTooLarge(Exception):
    """More bytes came than the limit allows."""


class StreamedBody:
    """Stands between an ASGI server and an application that gets an empty body, and this one in its scope.

    The view iterates over it, and sets the pace: what it has not asked for stays with the client.
    """

    def __init__(self, receive: Any, send: Any, *, max_bytes: int, timeout_s: float) -> None:
        self._receive, self._send = receive, send
        self._max_bytes, self._timeout_s = max_bytes, timeout_s
        self._is_asked = False
        self._is_complete = self._is_gone = False
        self._ended = asyncio.Event()

    async def receive(self) -> Any:
        """Return what the application gets instead of the body: nothing, and later that the client is gone."""
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._ended.wait()  # until then the view reads from the server
        return {"type": "http.disconnect"} if self._is_gone else await self._receive()

    async def send(self, message: Any) -> None:
        """Pass the answer on, but its end only when the client can read it: when its body has come, as a rule."""
        is_last = message["type"] == "http.response.body" and not message.get("more_body")
        if not is_last or self._is_complete or self._is_gone:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await self._drain()
        await self._send({"type": "http.response.body", "body": b""})

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces; raise TimeoutError if none comes in time, BodyTooLarge, or CancelledError."""
        count = 0
        while not self._is_complete:
            async with asyncio.timeout(self._timeout_s):
                piece = await self._next()
            count += len(piece)
            if count > self._max_bytes:
                raise BodyTooLarge
            if piece:
                yield piece

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._is_gone = True
            self._ended.set()
            raise asyncio.CancelledError
        if not message.get("more_body", False):
            self._is_complete = True
            self._ended.set()
        return message.get("body", b"")

    async def _drain(self) -> None:
        count, give_up_at = 0, time.monotonic() + _DRAIN_S
        try:
            async with asyncio.timeout(_DRAIN_S):
                while not self._is_complete and count < _DRAIN_BYTES and time.monotonic() < give_up_at:
                    count += len(await self._next())
        except (TimeoutError, asyncio.CancelledError):
            return
