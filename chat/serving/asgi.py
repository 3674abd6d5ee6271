"""What an ASGI server is given, so that the chat is live: `application = with_bot(get_asgi_application())`."""

from collections.abc import Callable
from typing import Any

from channels.routing import URLRouter
from channels.sessions import SessionMiddlewareStack
from django.urls import path

import chat.providers.openai  # noqa: F401 (or the first answer would wait for it, and all others in its loop)
from chat.embed.consumer import EmbeddedConsumer
from chat.inbox.consumer import InboxConsumer
from chat.mcp.endpoint import with_mcp
from chat.page.consumer import ChatConsumer
from chat.page.socket_origin import SameOrigin
from chat.paths import own_path_of, path_info_of, roots
from chat.serving.request_limits import with_limits

Application = Callable[..., Any]


def with_bot(application: Application) -> Application:
    """Return the ASGI application with the bot's WebSockets, its MCP endpoint and its limits of requests in front.

    What is for other paths goes to the application as it came, WebSockets too.
    """
    limited = with_limits(with_mcp(application))
    sockets = bot_sockets()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket") or not own_path_of(scope):
            await application(scope, receive, send)
        elif scope["type"] == "http":
            await limited(scope, receive, send)
        else:
            await sockets(scope, receive, send)

    return serve


def bot_sockets() -> Application:
    """Return the application of the bot's WebSockets alone."""
    consumers: dict[str, Any] = {"chat": ChatConsumer, "embed": EmbeddedConsumer, "inbox": InboxConsumer}
    sockets = SameOrigin(SessionMiddlewareStack(URLRouter([
        path(f"{root[1:]}ws/{name}", consumer.as_asgi()) for root in roots() for name, consumer in consumers.items()
    ])))  # fmt: skip

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        # Where the setting FORCE_SCRIPT_NAME says the prefix, the server does not.
        await sockets({**scope, "root_path": "", "path": path_info_of(scope)}, receive, send)

    return serve
