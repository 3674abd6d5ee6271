"""Static files through WhiteNoise, beside Django and not within it.

As a Django middleware WhiteNoise is synchronous, and one synchronous middleware makes Django run every view in
a thread: a waiting chat would hold it, and a client that goes away would cancel nothing.
"""

from collections.abc import Callable, Iterable
from typing import Any

from asgiref.wsgi import WsgiToAsgi
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from whitenoise import WhiteNoise


def _not_found(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return [b""]


def with_static_files(application: Any) -> Any:
    """Return the ASGI application with the apps' static files under STATIC_URL: no collectstatic is needed."""
    # Their names carry no hash, so browsers ask again: a deploy is seen within a minute.
    files = WhiteNoise(_not_found, autorefresh=settings.DEBUG, max_age=0 if settings.DEBUG else 60)
    for finder in get_finders():
        for storage in getattr(finder, "storages", {}).values():
            files.add_files(storage.location, prefix=settings.STATIC_URL)
    static = WsgiToAsgi(files)

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        is_static = scope["type"] == "http" and scope["path"].startswith(settings.STATIC_URL)
        await (static if is_static else application)(scope, receive, send)

    return serve
