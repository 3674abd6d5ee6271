"""What passes between an event loop, which talks to the client, and the thread that applies the lines."""

import asyncio
import queue
import time
from collections.abc import Iterator
from typing import Any

_MOST_BYTES = 4_000_000
"""The most bytes of lines that wait for the thread; more stays with the client."""
_MOST_UNSENT = 16_000_000
"""The most bytes of answers that the client has not read; a client that sends all before it reads has so many."""
_IDLE_S = 0.05
"""After so long without a line, what was read is applied, rather than kept for a batch."""

Line = tuple[int, bytes | None]
"""The number of a line, from 1, and its text; None for one that is too long."""


class LineExchange:
    """Lines to the thread, and answers back; each side waits for the other where too much is under way."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._blocks: queue.SimpleQueue[tuple[list[Line], int] | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._has_capacity = asyncio.Event()
        self._answers: list[bytes] = []
        self._given_bytes = self._sent_bytes = 0
        self._has_answers = asyncio.Event()
        self._is_answered = False
        self.is_closed = False

    # In the event loop:

    async def put(self, lines: list[Line]) -> None:
        """Hand lines to the thread; wait while too many are under way."""
        size = sum(len(text or b"") for _, text in lines)
        while self._waiting_bytes > _MOST_BYTES:
            self._has_capacity.clear()
            await self._has_capacity.wait()
        self._waiting_bytes += size
        self._blocks.put((lines, size))

    def end(self) -> None:
        """Say that no line follows."""
        self._blocks.put(None)

    def close(self) -> None:
        """Say that nobody reads answers any more: what is not begun is left."""
        self.is_closed = True
        self.end()

    async def answers(self) -> Any:
        """Yield the answers, as many at a time as there are, until the thread has given the last."""
        while True:
            await self._has_answers.wait()
            self._has_answers.clear()
            piece, self._answers = b"".join(self._answers), []
            self._sent_bytes += len(piece)
            if piece:
                yield piece
            if self._is_answered and not self._answers:
                return

    # In the thread:

    def lines(self) -> Iterator[Line | None]:
        """Yield the lines, and None where the next is not there yet."""
        is_idle = False
        while not self.is_closed:
            try:
                block = self._blocks.get(timeout=None if is_idle else _IDLE_S)
            except queue.Empty:
                is_idle = True
                yield None
                continue
            if block is None:
                return
            is_idle = False
            lines, size = block
            self._loop.call_soon_threadsafe(self._taken, size)
            yield from lines

    def answer(self, text: bytes) -> None:
        self._given_bytes += len(text)
        self._loop.call_soon_threadsafe(self._add, text)
        while self._given_bytes - self._sent_bytes > _MOST_UNSENT and not self.is_closed:
            time.sleep(_IDLE_S)

    def finish(self) -> None:
        """Say that the last answer was given."""
        self._loop.call_soon_threadsafe(self._finished)

    def _taken(self, size: int) -> None:
        self._waiting_bytes -= size
        self._has_capacity.set()

    def _add(self, text: bytes) -> None:
        self._answers.append(text)
        self._has_answers.set()

    def _finished(self) -> None:
        self._is_answered = True
        self._has_answers.set()
