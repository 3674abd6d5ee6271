"""The interface of a provider of a language model."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from chat.answer_flags import ANSWER_STOPPED, NOT_KNOWN
from chat.citations import Citation
from chat.models import HandoverSettings, Purpose
from chat.providers.attempts import Attempt
from chat.providers.configured import ModelConfig
from retrieval.search.questions import EarlierQuestion

OPTION_REFUSED = "option_refused:"
"""Begins the flag of an answer that the model's server gave without an option, such as `option_refused:seed`."""


def offer_by_default() -> str:
    return HandoverSettings.load().person_offer


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a model gets to answer: messages, and what a provider without a model needs beside them."""

    messages: list[dict[str, str]]
    """Each with `role` (`system`, `user` or `assistant`) and `content`; the question is in the last one."""
    question: str = ""
    """The question alone, as the user asked it."""
    passages: list[Citation] = field(default_factory=list)
    """The passages that are in the messages, best first."""
    earlier_questions: tuple[EarlierQuestion, ...] = ()
    """The conversation's, the oldest first; they are in the messages too."""
    max_tokens: int | None = None
    """The most tokens to answer with; None: as many as the model writes in one call."""
    options: dict[str, Any] = field(default_factory=dict)
    """More parameters of the call, such as `temperature`, by OpenAI's names; a server may refuse them."""
    purpose: Purpose = Purpose.ANSWER
    """What the call is booked as, where its cost is counted."""
    offer: Callable[[], str] = offer_by_default
    """Returns what is offered where the answer is not known, or ""; it may ask the database."""

    def most_tokens(self, config: ModelConfig) -> int:
        """Return the most tokens that this model may answer with: the prompt's, but no more than the model's own."""
        return min(self.max_tokens or config.most_tokens, config.most_tokens)


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A piece of the answer's text: all pieces joined are the whole text."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The end of an answer: its model, usage and finish reason."""

    model: str
    """What the server called the model, or the provider's own name."""
    usage: dict[str, int] | None
    """prompt_tokens, completion_tokens and total_tokens, as counted by the server, and cached_tokens if it has read
    some of the prompt before; None if it did not report them."""
    finish_reason: str | None
    """`stop`, or why it ended otherwise, such as `length`; None if the server did not say it."""
    reasoning: str = ""
    """What the model thought before it answered; kept in the trace, not shown."""
    cited: frozenset[int] | None = None
    """The numbers of the passages that the answer is made of; None if only its text says so."""
    refused_options: tuple[str, ...] = ()
    """Options of the prompt that the server refused, or the operator set, so that it answered without them."""
    config: ModelConfig | None = None
    """The model that was asked; None where none was."""
    degraded: tuple[str, ...] = ()
    """Flags that say why another one answered than should have."""

    @property
    def flags(self) -> list[str]:
        """What the reader of the answer must know: that it was cut off, stopped, ended by a filter, or is none."""
        names = {
            "length": "answer_cut_off", "content_filter": "answer_filtered", "stopped": ANSWER_STOPPED,
            "not_known": NOT_KNOWN,
        }  # fmt: skip
        ended = [names[self.finish_reason]] if self.finish_reason in names else []
        return [*self.degraded, *ended, *(f"{OPTION_REFUSED}{name}" for name in self.refused_options)]


class Provider(Protocol):
    """Whoever answers one prompt: a model, a chain of models, or passages that are quoted without one.

    It is made for a message and not used again, since it has the attempts of its one `run`.
    """

    model: str
    """The name by which tokens are counted, and that an answer shows."""
    is_extractive: bool
    """Whether it quotes passages, and composes nothing of its own."""
    window: int
    """The tokens that it takes and gives in one call; 0 if that is not known, or nothing counts them."""

    @property
    def attempts(self) -> Sequence[Attempt]:
        """The calls of models that it has made so far, in their order, with those that were left out."""

    @property
    def models(self) -> Sequence[ModelConfig]:
        """The models that it may ask, in their order."""

    @property
    def config(self) -> ModelConfig | None:
        """The model that is asked, or answered; None where no model is."""

    def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]:
        """Yield the answer's text as Deltas, in one piece or many, then one Completion.

        Raise ModelError, also after some Deltas. Whoever does not read it to its end must close it.
        """


class Runs(Protocol):
    """The part of a Provider that answers, which a single model has too."""

    def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]: ...


async def whole_answer(provider: Runs, prompt: Prompt) -> tuple[str, Completion]:
    """Return the whole text of an answer, and its end; raise ModelError."""
    parts: list[str] = []
    completion: Completion | None = None
    async with aclosing(provider.run(prompt, is_streamed=False)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            if isinstance(piece, Delta):
                parts.append(piece.text)
            else:
                completion = piece
    assert completion is not None
    return "".join(parts), completion
