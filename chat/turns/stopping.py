"""Stop the running answers of a conversation, in whatever process they run.

Every web process joins one group of the channel layer with its first answer; one group for each conversation would cost
each answer a subscription.
"""

import asyncio
import logging
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from django.conf import settings

from chat.live.broadcast import broadcast
from chat.live.groups import ANSWERS
from chat.live.layer import live_layer
from chat.turns.running import stop_here
from common.background import end_if_cancelled, spawn
from common.redis import REDIS_ERRORS

logger = logging.getLogger(__name__)

_TRY_AGAIN_AFTER_S = 1.0

_listeners: MutableMapping[asyncio.AbstractEventLoop, tuple[asyncio.Task[None], float]] = WeakKeyDictionary()
"""The task that listens in each loop, and when it began, by `time.monotonic()`."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """What a request to stop reached."""

    stopped: int
    """How many answers this process was giving."""
    asked_others: bool
    """Whether the other web processes were asked; False while Redis does not answer."""


async def stop_answers(conversation_id: int) -> Stop:
    """Stop the conversation's answers in this process, and ask the others to do so."""
    stopped = stop_here(conversation_id)
    asked_others = await broadcast(ANSWERS, {"type": "stop", "conversation_id": conversation_id})
    return Stop(stopped=stopped, asked_others=asked_others)


def listen() -> None:
    """Let other processes stop this one's answers, from the first call on; nothing is awaited."""
    if not settings.FABRA_WEB:  # a script's or a worker's answers have no page
        return
    loop = asyncio.get_running_loop()
    task, began = _listeners.get(loop, (None, 0.0))
    if task is None or (task.done() and time.monotonic() - began > _TRY_AGAIN_AFTER_S):
        _listeners[loop] = spawn(_listen(), uses_database=False), time.monotonic()


async def _listen() -> None:
    layer = live_layer()
    try:
        channel = await layer.new_channel(ANSWERS)
        await layer.group_add(ANSWERS, channel)
        while True:
            end_if_cancelled()
            message = await layer.receive(channel)
            stop_here(message["conversation_id"], only_stored=message.get("only_stored", False))
    except REDIS_ERRORS as error:  # the next answer tries again
        logger.warning("Redis does not answer (%s): other processes cannot stop these answers.", type(error).__name__)
