"""Earlier turns as a text for a model that rewrites or summarises them, and the call of that model."""

from collections.abc import Sequence

from chat.models import Purpose
from chat.providers import Prompt, Provider
from chat.spending.calls import Spender
from chat.turns.costs import UnsettledAnswer, ask_within_budgets
from contexts.conversation import PastTurn
from contexts.suspicion import without_role_tags
from contexts.tokens import tokenizer_for

_QUESTION_MAX_CHARS = 1000
_ANSWER_MAX_CHARS = 2000
_MAX_TOKENS = 4000
_TEMPLATE_TOKENS = 20
"""What a chat template puts around two messages, at most."""


def lines_of(turns: Sequence[PastTurn]) -> list[str]:
    """Return each turn as a text, cut to what a long message begins with."""
    return [
        without_role_tags(f"User: {turn.question[:_QUESTION_MAX_CHARS]}\nAssistant: {turn.answer[:_ANSWER_MAX_CHARS]}")
        for turn in turns
    ]


def fitting(parts: Sequence[str], beside: str, answer_tokens: int, provider: Provider) -> int:
    """Return how many of the first parts fit the model's window, together with the text `beside` and the answer."""
    count = tokenizer_for(provider.model).count
    tokens_left = _MAX_TOKENS
    if provider.window:
        tokens_left = min(tokens_left, provider.window - answer_tokens)
    tokens_left -= count(beside) + _TEMPLATE_TOKENS
    for number, part in enumerate(parts):
        tokens_left -= count(part) + 2  # and the blank line after it
        if tokens_left < 0:
            return number
    return len(parts)


async def complete(
    provider: Provider, purpose: Purpose, instructions: str, text: str, *, max_tokens: int, spender: Spender
) -> UnsettledAnswer:
    """Return what the model answers; raise ModelError or CostBudgetExhausted: see `ask_within_budgets`."""
    messages = [{"role": "system", "content": instructions}, {"role": "user", "content": text}]
    return await ask_within_budgets(
        provider, spender, Prompt(messages=messages, max_tokens=max_tokens, purpose=purpose)
    )
