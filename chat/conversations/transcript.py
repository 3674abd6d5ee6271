"""Earlier turns as a text for a model that rewrites or summarises them, and the call of that model."""

import asyncio
from collections.abc import Sequence

from django.conf import settings

from chat.limits.budgets import settle
from chat.models import ModelCall, Purpose
from chat.providers import Completion, Prompt, Provider, whole_answer
from chat.spending.calls import Spender, call_of, total_usd
from chat.turns.costs import reserve_call
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


def fitting(parts: Sequence[str], beside: str, answer_tokens: int, window: int) -> int:
    """Return how many of the first parts fit a model's window, together with the text `beside` and the answer."""
    count = tokenizer_for(settings.FABRA_CHAT_MODEL).count
    room = _MAX_TOKENS
    if window:
        room = min(room, window - answer_tokens)
    room -= count(beside) + _TEMPLATE_TOKENS
    for number, part in enumerate(parts):
        room -= count(part) + 2  # and the blank line after it
        if room < 0:
            return number
    return len(parts)


async def complete(
    provider: Provider, purpose: Purpose, instructions: str, text: str, *, max_tokens: int, spender: Spender
) -> tuple[str, Completion, ModelCall | None]:
    """Return what the model answers, and the row of the call, which is not written yet.

    Raise ModelError or BudgetExhausted.
    """
    messages = [{"role": "system", "content": instructions}, {"role": "user", "content": text}]
    prompt = Prompt(messages=messages, max_tokens=max_tokens, purpose=purpose)
    reservation = await reserve_call(provider, spender, prompt)
    call = None
    try:
        said, completion = await whole_answer(provider, prompt)
        call = await asyncio.to_thread(call_of, spender, purpose, prompt, completion, said)
    finally:
        await settle(reservation, total_usd([call] if call else []))
    return said.strip(), completion, call
