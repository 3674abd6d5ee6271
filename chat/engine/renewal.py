"""Keep the turns of messages that are being answered: one statement for all of a process, a few times in each lease."""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connection

from chat.turns.lease import TurnLease, lease_duration
from common.background import end_if_cancelled, with_own_thread
from common.per_loop import PerLoop

logger = logging.getLogger(__name__)

_RENEWALS = 3
"""In one lease."""
_RENEW = """
UPDATE chat_conversation SET turn_until = clock_timestamp() + %s
FROM (
    SELECT conversation.id FROM chat_conversation conversation
    JOIN unnest(%s::bigint[], %s::uuid[]) AS lease (id, token)
        ON lease.id = conversation.id AND lease.token = conversation.turns[1]
    FOR UPDATE OF conversation SKIP LOCKED  -- one that is being changed does not hold up the others
) AS held
WHERE chat_conversation.id = held.id
"""


@asynccontextmanager
async def renewed(lease: TurnLease) -> AsyncIterator[None]:
    """Keep the turn during the block, however long it takes; a new conversation has no other message yet."""
    if lease.conversation_id is None:
        yield
        return
    renewal = await _renewals.get()
    renewal.add(lease)
    try:
        yield
    finally:
        renewal.discard(lease)


class TurnRenewal:
    """The turns that the answers of one event loop hold."""

    def __init__(self) -> None:
        self._held: set[TurnLease] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, lease: TurnLease) -> None:
        self._held.add(lease)
        if self._task is None:
            # A context of its own, or the work would run in the database thread of the request that came first.
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._renew(), context=contextvars.Context())

    def discard(self, lease: TurnLease) -> None:
        self._held.discard(lease)
        if not self._held:
            self._end()

    async def close(self) -> None:
        self._end()

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None

    async def _renew(self) -> None:
        while True:
            end_if_cancelled()
            await asyncio.sleep(settings.FABRA_TURN_LEASE_S / _RENEWALS)
            try:
                await with_own_thread(sync_to_async(_write)(list(self._held)))
            except DatabaseError as error:  # the next attempt is before the lease ends
                logger.warning("Turns could not be kept: %s", type(error).__name__)


_renewals: PerLoop[TurnRenewal] = PerLoop(TurnRenewal, lambda renewal: renewal.close())


def _write(leases: list[TurnLease]) -> None:
    values: list[Any] = [
        lease_duration(), [lease.conversation_id for lease in leases], [lease.token for lease in leases],
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, values)
