"""A channel of the layer that hears groups: one for each listener, however often Redis is away."""

import asyncio
import logging
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.conf import settings

from chat.live.layer import live_layer
from common.redis import REDIS_ERRORS

logger = logging.getLogger(__name__)


class GroupChannel:
    """Receive what is sent to groups; make it in the loop that listens.

    The layer's own `new_channel` subscribes to the channel's name, by which nobody here sends, and keeps a queue also
    of a channel whose subscription failed: each attempt during an outage would leave one that nobody reads.
    """

    def __init__(self) -> None:
        self._layer = live_layer()
        self._name = f"{self._layer.prefix}groups.{uuid.uuid4().hex}"
        self._layer.channels[self._name] = asyncio.Queue()
        self._wanted: set[str] = set()
        self._joined: set[str] = set()

    async def join(self, groups: Iterable[str]) -> bool:
        """Hear these groups from now on; return whether Redis took all of them, or else `rejoin` tries again."""
        wanted = list(groups)
        self._wanted.update(wanted)
        for group in wanted:
            if self._name not in self._layer.channels:
                return False  # it was closed meanwhile
            try:
                await self._layer.group_add(group, self._name)
            except REDIS_ERRORS as error:
                logger.warning("Redis does not answer (%s): what is new is learnt late.", type(error).__name__)
                return False
            if group in self._wanted:  # not left meanwhile
                self._joined.add(group)
        return True

    async def rejoin(self) -> bool:
        """Join the groups that Redis has not taken yet; return whether it has all of them now."""
        return await self.join(sorted(self._wanted - self._joined))

    async def leave(self, group: str) -> None:
        self._wanted.discard(group)
        self._joined.discard(group)
        with suppress(*REDIS_ERRORS):  # a server that is gone sends nothing
            await self._layer.group_discard(group, self._name)

    async def receive(self) -> dict[str, Any]:
        """Return the next event of a group; cancelled, it ends the channel."""
        event: dict[str, Any] = await self._layer.receive(self._name)
        return event

    async def close(self) -> None:
        """Hear nothing any more, whether Redis answers or not."""
        self._layer.channels.pop(self._name, None)
        groups, self._wanted, self._joined = self._wanted, set(), set()
        leaving = [self._layer.group_discard(group, self._name) for group in groups]
        with suppress(*REDIS_ERRORS):
            async with asyncio.timeout(settings.FABRA_REDIS_TIMEOUT_S):
                await asyncio.gather(*leaving, return_exceptions=True)
