"""A Redis that hangs costs a request one timeout, not one for each thing asked of it."""

import asyncio
import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from common.redis import REDIS_ERRORS, RetryOrPause, async_redis
from features.errors import OnlineStoreUnavailable
from features.online import OnlineStore


def test_after_one_timeout_the_next_do_not_wait(settings: Any) -> None:
    RetryOrPause.silent_until = 0.0
    settings.FABRA_REDIS_TIMEOUT_S = 1.0
    taken: list[asyncio.StreamWriter] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)  # and never answer

    async def ask() -> None:
        server = await asyncio.start_server(take, "127.0.0.1", 0)
        settings.REDIS_URL = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        with pytest.raises(OnlineStoreUnavailable):
            await OnlineStore().get("a")
        RetryOrPause.silent_until += 60  # long enough for a busy machine
        for _ in range(20):
            with pytest.raises(REDIS_ERRORS):
                await async_redis()
        assert len(taken) == 1
        RetryOrPause.silent_until = time.monotonic()
        await async_redis()
        server.close()
        taken[0].close()

    async_to_sync(ask)()
