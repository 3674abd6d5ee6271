"""The ASGI application: HTTP through Django, MCP beside it, the chat page's WebSocket through Channels."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fabra_project.settings")
django = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 (the apps must be loaded first)
from channels.sessions import SessionMiddlewareStack  # noqa: E402
from django.urls import path  # noqa: E402

from chat.embed.consumer import EmbeddedConsumer  # noqa: E402
from chat.inbox.consumer import InboxConsumer  # noqa: E402
from chat.mcp.endpoint import with_mcp  # noqa: E402
from chat.page.consumer import ChatConsumer  # noqa: E402
from chat.page.socket_origin import SameOrigin  # noqa: E402
from fabra_project.request_limits import with_limits  # noqa: E402
from fabra_project.static_files import with_static_files  # noqa: E402

sockets = [
    path("ws/chat", ChatConsumer.as_asgi()),
    path("ws/embed", EmbeddedConsumer.as_asgi()),
    path("ws/inbox", InboxConsumer.as_asgi()),
]
websocket = SameOrigin(SessionMiddlewareStack(URLRouter(sockets)))
http = with_limits(with_mcp(with_static_files(django)))
application = ProtocolTypeRouter({"http": http, "websocket": websocket})
