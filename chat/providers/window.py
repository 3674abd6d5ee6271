"""How many tokens a prompt takes of a model's window."""

from collections.abc import Iterable

from chat.errors import MessageTooLong
from chat.providers.configured import ModelConfig
from chat.providers.protocol import Prompt
from contexts.tokens import tokenizer_for

_TOKENS_PER_MESSAGE = 4
"""What a chat template puts around each message; the OpenAI cookbook's count is 3, and one for a name."""


def prompt_tokens(config: ModelConfig, prompt: Prompt) -> int:
    """Return the tokens of the messages, as the model counts them."""
    count = tokenizer_for(config.model).count
    return sum(count(message["content"]) + _TOKENS_PER_MESSAGE for message in prompt.messages)


def excess(config: ModelConfig, prompt: Prompt) -> int:
    """Return how many tokens the prompt and its answer have more than the window; at most 0 if they fit, or 0 if the
    window is not known."""
    if not config.window:
        return 0
    return prompt_tokens(config, prompt) + prompt.most_tokens(config) - config.window


def require_fit(models: Iterable[ModelConfig], prompt: Prompt) -> None:
    """Raise MessageTooLong if the prompt fits none of the models; it may fit another than the first."""
    too_small = []
    for config in models:
        if excess(config, prompt) <= 0:
            return
        too_small.append(config)
    if too_small:
        first = too_small[0]
        raise MessageTooLong(
            f"message takes {prompt_tokens(first, prompt)} tokens together with what it needs; the model's window of "
            f"{first.window} does not hold it beside an answer of {prompt.most_tokens(first)}."
        )
