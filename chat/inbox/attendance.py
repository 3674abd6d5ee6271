"""Whether the agent of an open inbox is there, as customers see it, and whether the customer is, as the agent does."""

import math
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from django.conf import settings

from chat.live import presence
from chat.live.broadcast import broadcast
from chat.live.groups import PEOPLE
from common.redis import REDIS_ERRORS

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Attendance:
    """Who is at one open inbox; `send` takes `{"type": "presence", "conversation_id", "is_here"}` when it changes.

    It takes `{"type": "live", "is_live"}` too, when Redis is gone, or back.
    """

    def __init__(self, agent_pk: Any, send: Send) -> None:
        self._agent_pk = agent_pk
        self._who = presence.agent(agent_pk)
        self._send = send
        self._source = uuid.uuid4().hex
        self._used_at = -math.inf
        self._renewed_at: float | None = None
        self._shown: tuple[int, bool | None] | None = None
        self._conversation_id: int | None = None
        self._is_live = True

    async def use(self) -> None:
        """Note that the agent does something in the inbox."""
        self._used_at = time.monotonic()
        await self._renew()

    async def open(self, conversation_id: int | None) -> None:
        """Tell from now on of the customer of this conversation."""
        self._conversation_id, self._shown = conversation_id, None
        await self._look()

    async def refresh(self) -> None:
        """Renew what was noted while the agent is there, and announce the customer."""
        await self._renew()
        await self._look()

    async def leave(self) -> None:
        if self._renewed_at is not None:
            with suppress(*REDIS_ERRORS):  # the entry expires
                await presence.leave([self._who], self._source)

    async def _renew(self) -> None:
        now = time.monotonic()
        is_due = self._renewed_at is None or now - self._renewed_at >= presence.renewed_every_s()
        if not is_due or now - self._used_at >= settings.FABRA_INBOX_IDLE_S:
            return
        with suppress(*REDIS_ERRORS):
            is_new = await presence.renew([self._who], self._source)
            self._renewed_at = now
            if is_new:
                await broadcast(PEOPLE, {"type": "here", "agent_id": self._agent_pk})

    async def _look(self) -> None:
        """Send what has changed about the customer, and whether Redis answers, which brings what is new."""
        conversation_id = self._conversation_id
        customer = presence.customer_of(conversation_id) if conversation_id is not None else self._who
        try:
            is_here: bool | None = (await presence.are_here([customer]))[customer]
        except REDIS_ERRORS:
            is_here = None
        if (is_live := is_here is not None) != self._is_live:
            self._is_live = is_live
            await self._send({"type": "live", "is_live": is_live})
        if conversation_id is None or conversation_id != self._conversation_id:
            return
        if self._shown != (conversation_id, is_here):
            self._shown = conversation_id, is_here
            await self._send({"type": "presence", "conversation_id": conversation_id, "is_here": is_here})
