"""The answers that this process is giving, by conversation, so that any request can stop them."""

from collections.abc import Iterator
from contextlib import contextmanager

from chat.turns.turn import Turn

_running: dict[int, set[Turn]] = {}


@contextmanager
def running(turn: Turn) -> Iterator[None]:
    """Let `stop_here` find the turn during the block."""
    turns = _running.setdefault(turn.conversation_id, set())
    turns.add(turn)
    try:
        yield
    finally:
        turns.discard(turn)
        if not turns and _running.get(turn.conversation_id) is turns:
            del _running[turn.conversation_id]


def stop_here(conversation_id: int) -> int:
    """Stop this process's answers of a conversation, from any thread; return how many there were."""
    turns = list(_running.get(conversation_id, ()))
    for turn in turns:
        turn.loop.call_soon_threadsafe(turn.stop)
    return len(turns)
