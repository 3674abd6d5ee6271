"""The window of the model that a question's context is for."""

from dataclasses import dataclass

from chat.engine.prompt import messages_of
from chat.providers import Prompt, get_provider
from chat.providers.configured import ModelConfig
from chat.providers.window import prompt_tokens, require_fit
from chat.turns.turn import Question
from contexts import frame
from contexts.items import Context
from contexts.window import WindowOf


@dataclass(frozen=True, kw_only=True)
class ModelWindow:
    config: ModelConfig
    question: Question

    @property
    def message_tokens(self) -> int:
        return self.config.window - Prompt(messages=[], max_tokens=self.question.max_tokens).most_tokens(self.config)

    def tokens(self, prompt: frame.FramedPrompt) -> int:
        return prompt_tokens(self.config, prompt_of(prompt, self.question))


def prompt_of(context: Context | frame.FramedPrompt, question: Question) -> Prompt:
    """Return what a model gets of a context, as far as its window is concerned."""
    return Prompt(messages=messages_of(context, question.asked), max_tokens=question.max_tokens)


def windows_for(question: Question) -> WindowOf:
    """Return what finds the window for a context: which model is asked is known only once it is the context's turn."""

    async def window_of(model: str) -> ModelWindow | None:
        config = (await get_provider(question.model or model)).config
        if config is None or not config.window:
            return None
        require_fit([config], prompt_of(frame.FramedPrompt(system="", history=[], reference=""), question))
        return ModelWindow(config=config, question=question)

    return window_of
