"""uvicorn's HTTP protocol, with a limit on the time and the size of a request's head; it has neither of its own.

`make up` names it in `--http`; under another server, or behind a proxy, they limit the head.
"""

import asyncio
from typing import Any

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TOO_LARGE = b"The request's headers are too large."
_ANSWER = b"HTTP/1.1 %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"


class BoundedHeadProtocol(HttpToolsProtocol):
    """Close a connection whose request's head takes longer than FABRA_HEADER_TIMEOUT, or has too many bytes."""

    head_timer: asyncio.TimerHandle | None = None
    is_in_head = True
    head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.is_in_head:
            self.head_bytes += len(data)
        super().data_received(data)
        # Only what is still in the head counts: the rest of the last data may be a body.
        if self.is_in_head and self.head_bytes > settings.FABRA_HEADER_MAX_BYTES and not self.transport.is_closing():
            self.transport.write(_ANSWER % (b"431 Request Header Fields Too Large", len(_TOO_LARGE), _TOO_LARGE))
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self.is_in_head:  # another request on the same connection
            self.head_bytes = 0
            self._await_head()

    def on_headers_complete(self) -> None:
        self._end_head()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        app = self.app
        if size > settings.FABRA_HEADER_MAX_BYTES:
            self.app = _refuse  # for this request: all of its head came at once
        super().on_headers_complete()
        self.app = app

    def _await_head(self) -> None:
        self.is_in_head = True
        self.head_timer = self.loop.call_later(settings.FABRA_HEADER_TIMEOUT_S, self._give_up)

    def _end_head(self) -> None:
        self.is_in_head = False
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    headers.append((b"content-length", str(len(_TOO_LARGE)).encode()))
    await send({"type": "http.response.start", "status": 431, "headers": headers})
    await send({"type": "http.response.body", "body": _TOO_LARGE})
