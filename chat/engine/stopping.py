"""Stop the running answers of a conversation, in whatever process they run.

Every web process joins one group of the channel layer with its first answer; one group for each conversation would cost
each answer a subscription.
"""

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

from django.conf import settings

from chat.live.broadcast import broadcast
from chat.live.channel import GroupChannel
from chat.live.groups import ANSWERS
from chat.turns.running import stop_here, take_over_here
from common.background import end_if_cancelled, repeat, spawn

_TRY_AGAIN_AFTER_S = 1.0

_listeners: MutableMapping[asyncio.AbstractEventLoop, asyncio.Task[None]] = WeakKeyDictionary()
"""The task that listens in each loop."""


@dataclass(frozen=True, kw_only=True)
class StopResult:
    """What a request to stop reached."""

    stopped: int
    """How many answers this process was giving."""
    asked_others: bool
    """Whether the other web processes were asked; False while Redis does not answer."""


async def stop_answers(conversation_id: int) -> StopResult:
    """Stop the conversation's answers in this process, and ask the others to do so."""
    stopped = stop_here(conversation_id)
    asked_others = await broadcast(ANSWERS, {"type": "stop", "conversation_id": conversation_id})
    return StopResult(stopped=stopped, asked_others=asked_others)


def listen() -> None:
    """Let other processes stop this one's answers, from the first call on; nothing is awaited."""
    if not settings.FABRA_WEB:  # a script's or a worker's answers have no page
        return
    loop = asyncio.get_running_loop()
    task = _listeners.get(loop)
    if task is None or task.done():
        _listeners[loop] = spawn(_listen(), uses_database=False)


async def _listen() -> None:
    channel = GroupChannel()
    try:
        while not await channel.join([ANSWERS]):  # meanwhile other processes cannot stop these answers
            end_if_cancelled()
            await asyncio.sleep(_TRY_AGAIN_AFTER_S)
        await repeat(partial(_hear, channel))
    finally:
        await channel.close()


async def _hear(channel: GroupChannel) -> None:
    message = await channel.receive()
    end = take_over_here if message.get("is_taken_over") else stop_here
    end(message["conversation_id"])
