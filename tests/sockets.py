"""A WebSocket as a server gives it to the application; the one of Channels needs Daphne."""

import json
from typing import Any

from asgiref.testing import ApplicationCommunicator

_PATIENCE_S = 60.0
"""For what must come, also on a machine with much to do."""


class Socket(ApplicationCommunicator):
    def __init__(self, application: Any, path: str, headers: list[tuple[bytes, bytes]], **scope: Any) -> None:
        shared = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}
        super().__init__(application, shared | {"client": ("192.0.2.1", 1), "scheme": "ws"} | scope)

    async def connect(self) -> bool:
        """Return whether the handshake is accepted."""
        await self.send_input({"type": "websocket.connect"})
        return bool((await self.receive_output())["type"] == "websocket.accept")

    async def receive_output(self, timeout: float = _PATIENCE_S) -> Any:  # noqa: ASYNC109 (the base class has it)
        return await super().receive_output(timeout)

    async def send(self, data: dict[str, Any]) -> None:
        await self.send_input({"type": "websocket.receive", "text": json.dumps(data)})

    async def disconnect(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(_PATIENCE_S)
