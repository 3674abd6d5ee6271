"""Limit the bytes and the seconds of a request's body, as it comes.

Django reads a whole body before its first middleware runs, so this stands in front of it, as ASGI middleware.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.contrib.auth import aget_user
from django.http import HttpRequest

from chat.openai_api.errors import body_at
from chat.paths import own_path_of, path_info_of
from common.streamed_body import KEY, StreamedBody

_BULK = "/api/documents/bulk/"
_BYTES_PER_S = 10_000
"""A body may take FABRA_BODY_TIMEOUT, and a second more for each of these that have come."""
_FORM_BYTES = 1_000_000  # of a form around its files
_UPLOADS = {
    "/admin/retrieval/ingestionrun/upload": ("retrieval.add_ingestionrun",),
    "/admin/retrieval/goldenquestion/import": ("retrieval.add_goldenquestion", "retrieval.change_goldenquestion"),
}
"""The admin's pages that take large files, and the permissions that they ask for. A bot's picture is none."""
_DRAIN_BYTES, _DRAIN_S = 20_000_000, 3.0
"""What is still read after a refusal: closed at once, the connection is reset before the client has the answer."""


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def _too_large(limit: int) -> _Refused:
    return _Refused(413, "request_too_large", f"The request's body is too large; the limit is {limit:,} bytes.")


def with_limits(application: Callable[..., Any]) -> Callable[..., Any]:
    """Return the ASGI application, which gets no body above its limit: 413, and no slow one: 408.

    The limit is FABRA_MAX_REQUEST_BYTES; on the admin's pages for uploads it is FABRA_UPLOAD_MAX_BYTES for who may
    upload, and for bulk requests of documents FABRA_BULK_MAX_BYTES.
    """

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        if own_path_of(scope) == _BULK and scope["method"] == "POST":
            await _serve_streamed(application, scope, receive, send)
            return
        body = _Body(scope, receive, send)
        try:
            await body.check_length()
            await application(scope, body.receive, body.send)
        except _Refused as refused:
            if not body.is_answered:
                await _refuse(refused, path_info_of(scope), receive, send)

    return serve


async def _serve_streamed(application: Callable[..., Any], scope: Any, receive: Any, send: Any) -> None:
    """Serve a request whose view reads the body as it comes; its whole length and each pause have a limit."""
    limit = settings.FABRA_BULK_MAX_BYTES
    length = dict(scope["headers"]).get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > limit:
        await _refuse(_too_large(limit), path_info_of(scope), receive, send)
        return
    body = StreamedBody(receive, send, max_bytes=limit, timeout_s=settings.FABRA_BODY_TIMEOUT_S)
    await application({**scope, KEY: body}, body.receive, body.send)


class _Body:
    """The body of one request, counted while it is read."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._limit = settings.FABRA_MAX_REQUEST_BYTES
        path = own_path_of(scope).rstrip("/")
        self._needed: Sequence[str] = _UPLOADS.get(path, ()) if scope.get("method") == "POST" else ()
        """The permissions for an upload, until they are looked for."""
        self._started = time.monotonic()
        self._count = 0
        self._is_complete = False
        self.is_answered = False

    async def check_length(self) -> None:
        """Raise _Refused for a body that says itself that it is too large."""
        length = dict(self._scope["headers"]).get(b"content-length", b"")
        if length.isdigit():
            await self._check(int(length[:20]))

    async def receive(self) -> Any:
        if self._is_complete:
            return await self._receive()
        left = self._started + settings.FABRA_BODY_TIMEOUT_S + self._count / _BYTES_PER_S - time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0)):
                message = await self._receive()
        except TimeoutError:
            raise _Refused(408, "request_timeout", "The request's body did not come in time.") from None
        if message["type"] == "http.request":
            self._count += len(message.get("body", b""))
            self._is_complete = not message.get("more_body", False)
            await self._check(self._count)
        return message

    async def send(self, message: Any) -> None:
        self.is_answered = True
        await self._send(message)

    async def _check(self, count: int) -> None:
        if count > self._limit and self._needed:
            needed, self._needed = self._needed, ()
            if await _has_permissions(self._scope, needed):
                self._limit = settings.FABRA_UPLOAD_MAX_BYTES + _FORM_BYTES
        if count > self._limit:
            raise _too_large(self._limit)


async def _has_permissions(scope: Any, needed: Sequence[str]) -> bool:
    """Return whether the request is of a signed-in member of the staff who has the permissions."""
    try:
        cookies = SimpleCookie(dict(scope["headers"]).get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return False
    if settings.SESSION_COOKIE_NAME not in cookies:
        return False
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(cookies[settings.SESSION_COOKIE_NAME].value)
    async with ThreadSensitiveContext():
        user = await aget_user(request)
        return bool(getattr(user, "is_staff", False)) and await sync_to_async(user.has_perms)(needed)


async def _refuse(refused: _Refused, path: str, receive: Any, send: Any) -> None:
    text = json.dumps(body_at(path, refused.status, refused.code, str(refused))).encode()
    headers = {"content-type": "application/json", "content-length": str(len(text)), "connection": "close"}
    headers |= {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": pairs})
    await send({"type": "http.response.body", "body": text, "more_body": True})
    if refused.status == 413:
        await _drain(receive)
    await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Any) -> None:
    count = 0
    try:
        async with asyncio.timeout(_DRAIN_S):
            while count < _DRAIN_BYTES:
                message = await receive()
                count += len(message.get("body", b""))
                if not message.get("more_body"):
                    return
    except TimeoutError:
        return
