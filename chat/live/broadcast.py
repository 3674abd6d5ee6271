"""Send to the pages that listen; a Redis that is down or slow delays nothing and breaks nothing."""

import logging
import time
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import transaction

from chat.live.layer import live_layer
from common.redis import REDIS_ERRORS

logger = logging.getLogger(__name__)

_silent_until = 0.0
"""By `time.monotonic()`: after a failure nothing is sent for a while, since each attempt may cost a timeout."""


async def broadcast(group: str, message: dict[str, Any]) -> bool:
    """Send a message, which names its `type`, to a group; return whether Redis took it. It raises no error of Redis.

    Nothing depends on it: whoever listens also reads what was missed from PostgreSQL, every few seconds.
    """
    global _silent_until
    if time.monotonic() < _silent_until:
        return False
    try:
        await live_layer().group_send(group, message)
    except REDIS_ERRORS as error:
        _silent_until = time.monotonic() + settings.FABRA_REDIS_TIMEOUT_S
        logger.warning("Redis does not answer (%s): open pages learn late what is new.", type(error).__name__)
        return False
    return True


def broadcast_on_commit(group: str, message: dict[str, Any]) -> None:
    """Do the same after the caller's transaction, in synchronous code; at once without a transaction."""
    transaction.on_commit(lambda: async_to_sync(broadcast)(group, message), robust=True)
