"""The ASGI application: HTTP through Django, MCP beside it, the chat page's WebSocket through Channels."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fabra_project.settings")
django = get_asgi_application()

from chat.serving.asgi import bot_sockets, with_bot  # noqa: E402 (the apps must be loaded first)
from fabra_project.static_files import with_static_files  # noqa: E402

websocket = bot_sockets()
application = with_bot(with_static_files(django))
