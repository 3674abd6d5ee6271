"""Let pages of trusted origins, such as an inspector's, call the MCP endpoint from a browser (CORS).

No cookie comes with such a call: a page has what its key has. Django's middleware does not see this endpoint.
"""

from typing import Any

from django.core.handlers.asgi import ASGIRequest

from chat.page.socket_origin import is_allowed

_READABLE = b"Retry-After, WWW-Authenticate"


def is_preflight(request: ASGIRequest) -> bool:
    """Return whether a browser asks before a call; the origin was checked."""
    is_asking = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    return is_asking and "Origin" in request.headers


async def answer_preflight(request: ASGIRequest, send: Any) -> None:
    """Allow the call, with whatever headers: the protocol names some by the arguments of a tool."""
    wanted = request.headers.get("Access-Control-Request-Headers", "")
    headers = [
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", wanted.encode("latin-1")),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def readable(scope: Any, request: ASGIRequest, send: Any) -> Any:
    """Return a `send` whose answers a page of a trusted origin may read, errors too."""
    if "Origin" not in request.headers or not is_allowed(scope):
        return send
    origin = request.headers["Origin"].encode("latin-1")
    more = [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _READABLE),
        (b"vary", b"Origin"),
    ]

    async def send_readable(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return send_readable
