"""What waits in the broker's queues, as a worker would find it."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.redis import plain_redis, redis_key

QUEUES = ("state", "default", "materialize", "ingest", "webhooks", "models")


@dataclass(frozen=True)
class Message:
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str
    eta: datetime | None
    """Until when a worker is to wait."""


def messages(*queues: str) -> list[Message]:
    """Return the messages of these queues, or of all, oldest first."""
    return [
        _message(json.loads(text), queue)
        for queue in queues or QUEUES
        for text in reversed(plain_redis().lrange(redis_key("celery", queue), 0, -1))
    ]


def _message(message: dict[str, Any], queue: str) -> Message:
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    eta = message["headers"]["eta"]
    return Message(message["headers"]["task"], args, kwargs, queue, datetime.fromisoformat(eta) if eta else None)
