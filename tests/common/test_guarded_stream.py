"""A stream that nobody reads does something else, once; one that is read does not."""

import asyncio
import gc
from collections.abc import AsyncGenerator

import pytest

from common.guarded_stream import GuardedStream


@pytest.mark.parametrize("how", ["closed", "closed twice", "dropped", "read", "read and closed"])
def test_what_is_not_read_is_told(how: str) -> None:
    told: list[str] = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"a"
        yield b"b"

    async def tell() -> None:
        told.append("unread")

    async def run() -> None:
        stream = GuardedStream(pieces(), tell)
        if how.startswith("read"):
            assert [piece async for piece in stream] == [b"a", b"b"]
        if "closed" in how:
            await asyncio.to_thread(stream.close)
        if how == "closed twice":
            await stream.aclose()
        del stream
        gc.collect()
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert told == ([] if how.startswith("read") else ["unread"])
