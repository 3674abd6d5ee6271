"""What the model takes that a chat will ask, as far as the assembly of its context must know it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from contexts.frame import Prompt


class Window(Protocol):
    """A model's window, with the question that the prompt is for."""

    def excess(self, prompt: Prompt) -> int:
        """Return how many tokens too many the model's messages have beside its answer; at most 0 if they fit."""


WindowOf = Callable[[str], Awaitable[Window | None]]
"""Return the window for the model that a context names, or "" for none; None if it is not known."""
