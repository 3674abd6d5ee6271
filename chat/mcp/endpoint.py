"""The endpoint `/mcp`: streamable HTTP without sessions, so that any web process answers any request.

It stands beside Django in ASGI, since the protocol's SDK answers the request itself.
"""

import asyncio
import io
import json
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from chat.error_descriptions import describe, error_body, headers_of
from chat.mcp.connection import NotLetIn, connect
from chat.mcp.cross_origin import answer_preflight, is_preflight, readable
from chat.mcp.server import CONNECTION, server
from chat.page.socket_origin import is_allowed
from chat.paths import own_path_of
from common.background import with_own_thread

PATHS = ("/mcp", "/mcp/")
_MAX_BYTES = 64_000

# It would say with each request that a session manager starts and stops.
logging.getLogger("mcp").setLevel(logging.WARNING)
_security = SecurityMiddleware(lambda request: HttpResponse())

Receive = Callable[[], Any]


class _Gone(Exception):
    """The client has disconnected."""


def with_mcp(application: Callable[..., Any]) -> Callable[..., Any]:
    """Return the ASGI application, with the endpoint in front of it."""

    async def serve(scope: Any, receive: Receive, send: Any) -> None:
        if scope["type"] != "http" or own_path_of(scope) not in PATHS:
            await application(scope, receive, send)
            return
        try:
            await _serve(scope, receive, send)
        except _Gone:
            return

    return serve


async def _serve(scope: Any, receive: Receive, send: Any) -> None:
    request = ASGIRequest(scope, io.BytesIO())
    send = readable(scope, request, send)
    try:
        _check_site(request, scope)
        if is_preflight(request):
            await answer_preflight(request, send)
            return
        _check_method(request)
        body = await _body(receive)
    except NotLetIn as refused:
        await _refuse(refused, send)
        return

    answering = asyncio.ensure_future(with_own_thread(_answer(scope, request, body, send)))
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            answering.result()
    finally:
        answering.cancel()
        leaving.cancel()


async def _answer(scope: Any, request: ASGIRequest, body: bytes, send: Any) -> None:
    """Let the caller in, and the SDK answer; a manager for each request, so that all it began ends with it."""
    try:
        connection = await sync_to_async(connect)(request)
    except Exception as error:
        await _refuse(error, send)
        return
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        return await asyncio.get_running_loop().create_future()  # until the request is cancelled

    async def send_secured(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), *_more_headers(request)]
            message = {**message, "headers": headers}
        await send(message)

    manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True, max_request_body_size=_MAX_BYTES)
    async with manager.run():
        await manager.handle_request({**scope, CONNECTION: connection}, receive, send_secured)


def _check_site(request: ASGIRequest, scope: Any) -> None:
    """Raise NotLetIn for a host that is not ours, a page of another origin, and plain HTTP.

    A page that reaches this machine by a name of its own (DNS rebinding) is refused by the first two.
    """
    try:
        request.get_host()
    except DisallowedHost:
        raise NotLetIn(400, "invalid_host", "The host is none of ALLOWED_HOSTS.") from None
    if "HTTP_ORIGIN" in request.META and not is_allowed(scope):
        raise NotLetIn(403, "origin_forbidden", "Pages of this origin may not call MCP; see CSRF_TRUSTED_ORIGINS.")
    if settings.SECURE_SSL_REDIRECT and not request.is_secure():
        raise NotLetIn(403, "https_required", "Use https.")


def _check_method(request: ASGIRequest) -> None:
    """Raise NotLetIn for anything but a POST."""
    if request.method != "POST":
        # A GET would open a stream of what the server says by itself, which is nothing.
        raise NotLetIn(405, "method_not_allowed", "Send messages by POST; there are no sessions.")


async def _body(receive: Receive) -> bytes:
    """Return the request's body; raise NotLetIn for one that is too large."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > _MAX_BYTES:
            raise NotLetIn(413, "request_too_large", f"A message has at most {_MAX_BYTES:,} bytes.")
        if not message.get("more_body", False):
            return bytes(body)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(error: Exception, send: Any) -> None:
    if isinstance(error, NotLetIn):
        status, code, message = error.status, error.code, str(error)
    else:
        status, code, message = describe(error)
    text = json.dumps(error_body(code, message)).encode()
    headers = {"content-type": "application/json", "content-length": str(len(text)), "cache-control": "no-store"}
    headers |= {"x-content-type-options": "nosniff"} | headers_of(error)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="mcp"'
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = "POST"
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": text})


def _more_headers(request: ASGIRequest) -> list[tuple[bytes, bytes]]:
    """Return the headers that Django's middleware adds to every other answer."""
    headers: dict[str, str] = dict(_security(request).headers)  # type: ignore[union-attr]
    headers.pop("Content-Type")
    headers["Cache-Control"] = "no-store"
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
