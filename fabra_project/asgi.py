"""The ASGI application: HTTP through Django, the chat page's WebSocket through Channels."""

import gc
import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fabra_project.settings")
django = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 (needs the apps to be loaded)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.signals import request_started  # noqa: E402
from django.db import close_old_connections, reset_queries  # noqa: E402
from django.urls import path  # noqa: E402

from chat.consumers import ChatConsumer  # noqa: E402
from common.background import own_thread  # noqa: E402
from fabra_project.static_files import with_static_files  # noqa: E402


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Call Django on a kept thread: it would start two for each request, and its last work there is its own end."""
    async with own_thread():
        await django(scope, receive, send)


websocket = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([path("ws/chat", ChatConsumer.as_asgi())])))
application = ProtocolTypeRouter({"http": with_static_files(http), "websocket": websocket})

if not settings.DEBUG:
    # Nothing is left of the request before: its connection went back to the pool. Each request would hop to a
    # thread to find that out.
    request_started.disconnect(close_old_connections)
    request_started.disconnect(reset_queries)

# What is loaded by now stays, some half a million objects that the collector need not walk through again and again.
gc.freeze()
gc.set_threshold(10_000, 20, 20)
