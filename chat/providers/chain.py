"""Ask the configured models in their order, until one answers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING

from django.conf import settings

from chat.errors import ModelError
from chat.models import Purpose
from chat.providers.attempts import Attempt
from chat.providers.circuits import circuit_of
from chat.providers.configured import ModelConfig
from chat.providers.extractive import MODEL_UNAVAILABLE, ExtractiveProvider
from chat.providers.protocol import Completion, Delta, Prompt
from chat.providers.retries import wait_before_retry
from chat.providers.window import excess

if TYPE_CHECKING:
    from chat.providers.openai import OpenAIProvider

logger = logging.getLogger(__name__)

EXTRACTIVE = "extractive"
"""The value of FABRA_MODEL_FALLBACK that has passages quoted where no model answers."""


class ProviderChain:
    """One answer from the first model that gives it; a model that has begun to answer is not replaced.

    A call that may be retried is, with backoff; then the next model is asked. A model that fails is left alone for a
    while, unless it is the only one.
    """

    def __init__(self, models: Sequence[ModelConfig]) -> None:
        self.models = models
        self.model = models[0].model
        """The name of the model that is asked, or answered."""
        self.config: ModelConfig | None = models[0]
        self.window = models[0].window
        self.is_extractive = False
        """True once the answer is quoted, because no model gave one."""
        self.attempts: list[Attempt] = []

    async def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]:
        """Yield the text as it comes, then the Completion; raise the last model's ModelError."""
        failure = ModelError()
        with closing(self._candidates(prompt)) as candidates:
            for config, has_next in candidates:
                self.model, self.config = config.model, config
                try:
                    pieces = self._ask(config, prompt, is_streamed=is_streamed, has_next=has_next)
                    async with aclosing(pieces):  # type: ignore[type-var]
                        async for piece in pieces:
                            yield piece
                    return
                except ModelError as error:
                    logger.warning("The model %s failed: %s", config.name, error.for_operator())
                    if self.attempts[-1].has_text:
                        raise
                    failure = error
        if settings.FABRA_MODEL_FALLBACK != EXTRACTIVE or prompt.purpose != Purpose.ANSWER:
            raise failure
        self.is_extractive, self.model, self.config = True, ExtractiveProvider.model, None
        async for piece in ExtractiveProvider(MODEL_UNAVAILABLE).run(prompt, is_streamed=is_streamed):
            yield piece

    def _candidates(self, prompt: Prompt) -> Generator[tuple[ModelConfig, bool]]:
        """Yield the models whose window the prompt fits, in their order, and whether another would follow.

        If all are left alone they are asked all the same, beginning with the one whose pause ends first.
        """
        was_asked = False
        fitting = [config for config in self.models if excess(config, prompt) <= 0]
        for config in self.models:
            if config not in fitting:
                self._leave_out(config, "window")
        for number, config in enumerate(fitting, 1):
            with circuit_of(config).entered() as may_ask:
                if may_ask or len(self.models) == 1:
                    was_asked = True
                    yield config, any(not circuit_of(later).is_open for later in fitting[number:])
                else:
                    self._leave_out(config, "paused")
        if not was_asked:
            in_turn = sorted(fitting, key=lambda config: circuit_of(config).open_until)
            for number, config in enumerate(in_turn, 1):
                yield config, number < len(in_turn)

    async def _ask(
        self, config: ModelConfig, prompt: Prompt, *, is_streamed: bool, has_next: bool
    ) -> AsyncIterator[Delta | Completion]:
        """Yield one model's answer; raise its error once it is not worth another retry."""
        provider, circuit = _provider_of(config), circuit_of(config)
        for retry in range(config.retries + 1):
            attempt = Attempt(provider=config.name, model=config.model, config=config)
            self.attempts.append(attempt)
            try:
                async with aclosing(provider.run(prompt, is_streamed=is_streamed)) as pieces:  # type: ignore[type-var]
                    async for piece in pieces:
                        if isinstance(piece, Completion):
                            attempt.end()
                            circuit.close()
                        elif piece.text.strip():
                            attempt.note_text()
                        yield piece
                return
            except ModelError as error:
                attempt.end(error)
                wait = wait_before_retry(error, retry, has_next=has_next)
                if attempt.has_text or wait is None or retry == config.retries:
                    circuit.open(error)
                    raise
            finally:
                attempt.stop()
            attempt.retried_after_ms = round(wait * 1000, 3)
            await asyncio.sleep(wait)

    def _leave_out(self, config: ModelConfig, code: str) -> None:
        self.attempts.append(Attempt(provider=config.name, model=config.model, code=code))


def _provider_of(config: ModelConfig) -> "OpenAIProvider":
    """Return what calls one model.

    The SDK is imported by the first call, and by a web process when it starts: it is a quarter of the CPU time in which
    any command or worker starts (0.7 of 2.9 s), and 16 MB in each.
    """
    from chat.providers.openai import OpenAIProvider

    return OpenAIProvider(config)
