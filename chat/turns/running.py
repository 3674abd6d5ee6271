"""The answers that this process is giving, by conversation, so that any request can stop them.

An answer can be stopped from its place in the queue on: before its question is stored nothing is left of it, and after
that what was received is kept.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


class AnswerStopped(Exception):
    """The answer was stopped before its question was stored."""


class TakenOver(Exception):
    """A person has taken over, or closed the conversation, before the question was stored."""


@dataclass(kw_only=True, eq=False)
class Stopping:
    """Whether one answer is to end."""

    is_stopped: bool = False
    is_stored: bool = False
    """Whether the question is stored, so that the bot answers it, and the model is asked."""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    wait: asyncio.Timeout | None = None
    """The timeout of what the answer waits for now."""
    _conversation_id: int | None = None
    _is_for_bot: bool = False
    """Whether a context is assembled, which nobody needs once a person has taken over."""
    _is_taken_over: bool = False

    def stop(self) -> None:
        """End the answer with what was received; call it in the answer's loop."""
        if self.is_stopped:
            return
        self.is_stopped = True
        if self.wait is not None:
            self.wait.reschedule(self.loop.time())

    def take_over(self) -> None:
        """End the assembly of a context, since a person has taken over; call it in the answer's loop."""
        if self._is_for_bot and not self._is_taken_over and not self.is_stopped:
            self._is_taken_over = True
            if self.wait is not None:
                self.wait.reschedule(self.loop.time())

    def check(self) -> None:
        """Raise AnswerStopped or TakenOver."""
        if self.is_stopped:
            raise AnswerStopped
        if self._is_taken_over:
            raise TakenOver

    @asynccontextmanager
    async def ended_by_stop(self, *, is_for_bot: bool = False) -> AsyncIterator[None]:
        """Raise AnswerStopped as soon as it is; not around what may not be interrupted, such as a commit.

        Raise TakenOver as soon as a person has taken over, if the block is for an answer of the bot.
        """
        self._is_for_bot, self._is_taken_over = is_for_bot, False
        self.check()
        try:
            async with asyncio.timeout(None) as self.wait:
                yield
        except TimeoutError:
            self.check()
            raise
        finally:
            self.wait, self._is_for_bot = None, False
        self.check()

    def begin(self, conversation_id: int | None) -> None:
        """Let `stop_here` find the answer from now on."""
        self.end()
        if conversation_id is not None:
            self._conversation_id = conversation_id
            _running.setdefault(conversation_id, set()).add(self)

    def end(self) -> None:
        """Do not let it be found any more."""
        conversation_id, self._conversation_id = self._conversation_id, None
        if conversation_id is None:
            return
        running = _running.get(conversation_id, set())
        running.discard(self)
        if not running:
            with suppress(KeyError):  # another thread's
                del _running[conversation_id]


_running: dict[int, set[Stopping]] = {}


def stop_here(conversation_id: int) -> int:
    """Stop this process's answers of a conversation, from any thread; return how many there were."""
    answers = _answers_of(conversation_id)
    for answer in answers:
        answer.loop.call_soon_threadsafe(answer.stop)
    return len(answers)


def take_over_here(conversation_id: int) -> None:
    """Stop this process's answers of a conversation that a person has taken over, from any thread.

    Messages that are not stored yet are the person's, and go on to them.
    """
    for answer in _answers_of(conversation_id):
        answer.loop.call_soon_threadsafe(answer.stop if answer.is_stored else answer.take_over)


def _answers_of(conversation_id: int) -> list[Stopping]:
    return [answer for answer in list(_running.get(conversation_id, ())) if not answer.loop.is_closed()]
