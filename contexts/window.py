"""What the model takes that a chat will ask, as far as the assembly of its context must know it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from contexts.frame import FramedPrompt


class ContextWindow(Protocol):
    """A model's window, with the question that the prompt is for."""

    @property
    def message_tokens(self) -> int:
        """The tokens that the answer leaves for the messages."""

    def tokens(self, prompt: FramedPrompt) -> int:
        """Return the tokens of all the messages that are made of the prompt, as the model counts them."""


WindowOf = Callable[[str], Awaitable[ContextWindow | None]]
"""Return the window for the model that a context names, or "" for none; None if it is not known."""
