"""Keep an answer within its budgets: reserve what it may cost before the model is asked, and settle it afterwards."""

import asyncio
from decimal import Decimal

from django.conf import settings

from chat.errors import BudgetExhausted
from chat.limits.budget_settings import budgets_of
from chat.limits.budgets import BudgetReservation, reserve, settle
from chat.providers import Prompt, Provider
from chat.providers.chain import EXTRACTIVE
from chat.providers.extractive import BUDGET_EXHAUSTED, ExtractiveProvider
from chat.spending.calls import Spender, most_usd, total_usd
from chat.turns.turn import Turn
from common.background import spawn


async def reserve_call(provider: Provider, spender: Spender, prompt: Prompt) -> BudgetReservation | None:
    """Reserve the most that a model's answer may cost; None where no budget is set. Raise BudgetExhausted."""
    budgets = budgets_of(spender) if provider.models else []
    if not budgets:
        return None
    return await reserve(budgets, await asyncio.to_thread(most_usd, provider.models, prompt))


async def within_budgets(
    provider: Provider, spender: Spender, prompt: Prompt
) -> tuple[Provider, BudgetReservation | None]:
    """Return who answers, with the reservation of what that may cost; raise BudgetExhausted.

    With FABRA_MODEL_FALLBACK passages are quoted where a budget is used up.
    """
    try:
        return provider, await reserve_call(provider, spender, prompt)
    except BudgetExhausted:
        if settings.FABRA_MODEL_FALLBACK != EXTRACTIVE:
            raise
        return ExtractiveProvider(BUDGET_EXHAUSTED), None


async def settle_turn(turn: Turn) -> None:
    """Count what an answer cost, once its calls are stored."""
    reservation, turn.reservation = turn.reservation, None
    await settle(reservation, total_usd(turn.calls))


def release_soon(reservation: BudgetReservation | None) -> None:
    """Give back what was reserved for an answer that is not asked for."""
    if reservation is not None:
        spawn(settle(reservation, Decimal()))
