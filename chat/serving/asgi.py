"""What an ASGI server is given, so that the chat is live: `application = with_bot(get_asgi_application())`."""

from collections.abc import Callable
from typing import Any

from channels.routing import URLRouter
from channels.sessions import SessionMiddlewareStack
from django.urls import path

from chat.embed.consumer import EmbeddedConsumer
from chat.inbox.consumer import InboxConsumer
from chat.mcp.endpoint import with_mcp
from chat.page.consumer import ChatConsumer
from chat.page.socket_origin import SameOrigin
from chat.serving.paths import own_path, root
from chat.serving.request_limits import with_limits

Application = Callable[..., Any]


def with_bot(application: Application) -> Application:
    """Return the ASGI application with the bot's WebSockets, its MCP endpoint and its limits of requests in front.

    What is for other paths goes to the application as it came, WebSockets too.
    """
    limited = with_limits(with_mcp(application))
    sockets = bot_sockets()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket") or not own_path(scope["path"]):
            await application(scope, receive, send)
        elif scope["type"] == "http":
            await limited(scope, receive, send)
        else:
            await sockets(scope, receive, send)

    return serve


def bot_sockets() -> Application:
    """Return the application of the bot's WebSockets alone."""
    at = root()[1:]
    sockets = [
        path(f"{at}ws/chat", ChatConsumer.as_asgi()),
        path(f"{at}ws/embed", EmbeddedConsumer.as_asgi()),
        path(f"{at}ws/inbox", InboxConsumer.as_asgi()),
    ]
    return SameOrigin(SessionMiddlewareStack(URLRouter(sockets)))
