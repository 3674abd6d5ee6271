"""What a provider of a language model takes and gives."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from chat.citations import Citation


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a model is asked."""

    messages: list[dict[str, str]]
    question: str
    passages: list[Citation]
    """The passages that are in the messages, best first."""


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What is known when the answer is complete."""

    model: str
    usage: dict[str, int] | None
    """prompt_tokens, completion_tokens, total_tokens, as the server counted them."""
    finish_reason: str | None


class Provider(Protocol):
    model: str
    is_extractive: bool

    def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]:
        """Yield the answer's text, in one piece or many, then one Completion; raise ModelError."""
