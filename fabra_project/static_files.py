"""Serve static files with WhiteNoise in front of Django, not as a Django middleware.

As a Django middleware WhiteNoise is synchronous, and one synchronous middleware makes Django run every view in a
thread: a waiting chat would occupy it, and a disconnecting client would cancel nothing.
"""

import asyncio
import io
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
from whitenoise import WhiteNoise

from chat.serving.page_policies import STATIC_FILES

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def with_static_files(application: Callable[..., Any]) -> Callable[..., Any]:
    """Return the ASGI application with the apps' static files under STATIC_URL; collectstatic is not needed."""
    # File names contain no hash, so browsers revalidate them: a deployment is visible within a minute.
    files = WhiteNoise(None, autorefresh=settings.DEBUG, max_age=0 if settings.DEBUG else 60)
    for finder in get_finders():
        for storage in getattr(finder, "storages", {}).values():
            files.add_files(storage.location, prefix=settings.STATIC_URL)

    security = SecurityMiddleware(lambda request: HttpResponse())

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(settings.STATIC_URL):
            await application(scope, receive, send)
            return
        answer = _secured(security, scope)
        if answer.status_code == 200:
            status, headers, body = await asyncio.to_thread(_read, files, scope)
        else:
            status, headers, body = answer.status_code, [], b""
        headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.items()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return serve


def _secured(security: SecurityMiddleware, scope: Any) -> Any:
    """Return an empty response with the headers that Django's middleware adds, or its redirect to HTTPS."""
    answer: Any
    try:
        answer = security(ASGIRequest(scope, io.BytesIO()))
    except SuspiciousOperation:  # a host that is none of ours
        answer = HttpResponse(status=400)
    del answer.headers["Content-Type"]  # of the empty response; the file has its own
    answer.headers["Content-Security-Policy"] = STATIC_FILES
    return answer


def _read(files: WhiteNoise, scope: Any) -> Answer:
    path = scope["path"]
    found = files.find_file(path) if files.autorefresh else files.files.get(path)
    if found is None:
        return 404, [(b"content-type", b"text/plain")], b"Not found"
    environ = {
        f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}": value.decode("latin-1")
        for name, value in scope["headers"]
    }
    response = found.get_response(scope["method"], environ)
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    if response.file is None:
        return int(response.status), headers, b""
    with response.file as file:
        return int(response.status), headers, file.read()
