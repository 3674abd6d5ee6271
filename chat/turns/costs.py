"""Keep an answer within its budgets: reserve what it may cost before the model is asked, and settle it afterwards."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError

from chat.cost_budgets.configured import budgets_of
from chat.cost_budgets.reservations import BudgetReservation, reserve, settle
from chat.errors import CostBudgetExhausted
from chat.models import ModelCall
from chat.providers import Completion, Prompt, Provider, whole_answer
from chat.providers.chain import EXTRACTIVE
from chat.providers.extractive import BUDGET_EXHAUSTED, ExtractiveProvider
from chat.spending.calls import Spender, calls_of, failed_calls, most_usd, total_usd
from chat.turns.turn import Turn
from common.background import spawn

logger = logging.getLogger(__name__)


async def reserve_call(provider: Provider, spender: Spender, prompt: Prompt) -> BudgetReservation | None:
    """Reserve the most that a model's answer may cost; None where no budget is set. Raise CostBudgetExhausted."""
    budgets = budgets_of(spender) if provider.models else []
    if not budgets:
        return None
    return await reserve(budgets, await asyncio.to_thread(most_usd, provider.models, prompt))


async def within_budgets(
    provider: Provider, spender: Spender, prompt: Prompt
) -> tuple[Provider, BudgetReservation | None]:
    """Return who answers, with the reservation of what that may cost; raise CostBudgetExhausted.

    With FABRA_MODEL_FALLBACK passages are quoted where a budget is used up.
    """
    try:
        return provider, await reserve_call(provider, spender, prompt)
    except CostBudgetExhausted:
        if settings.FABRA_MODEL_FALLBACK != EXTRACTIVE:
            raise
        return ExtractiveProvider(BUDGET_EXHAUSTED), None


@dataclass(kw_only=True)
class UnsettledAnswer:
    """What a model said, with calls whose rows are not stored yet, and the reservation of what they may cost."""

    text: str
    completion: Completion
    calls: list[ModelCall]
    """The one that gave the text last; none where no model did."""
    reservation: BudgetReservation | None

    @property
    def call(self) -> ModelCall | None:
        return self.calls[-1] if self.completion.config else None


async def ask_within_budgets(provider: Provider, spender: Spender, prompt: Prompt) -> UnsettledAnswer:
    """Have a model answer a prompt that is not a message's; the caller stores the rows, and then settles.

    Raise ModelError or CostBudgetExhausted, and then nothing is left to be settled.
    """
    reservation = await reserve_call(provider, spender, prompt)
    try:
        text, completion = await whole_answer(provider, prompt)
        calls = await asyncio.to_thread(calls_of, spender, provider, prompt, completion, text)
    except BaseException:
        failed = await asyncio.to_thread(failed_calls, spender, prompt.purpose, provider)
        await _store(failed)
        await settle(reservation, total_usd(failed))
        raise
    return UnsettledAnswer(text=text, completion=completion, calls=calls, reservation=reservation)


async def store_and_settle(answer: UnsettledAnswer) -> None:
    """Store the rows of calls, and count what they cost."""
    await _store(answer.calls)
    await settle(answer.reservation, total_usd(answer.calls))


@dataclass(kw_only=True)
class EarlierCalls:
    """The calls that were made for a message before it is stored: their rows are stored together with it."""

    answer: UnsettledAnswer | None = None

    def of(self, spender: Spender, trace_id: str) -> list[ModelCall]:
        """Return the rows, with the context and the trace that they turned out to be for."""
        calls = self.answer.calls if self.answer else []
        for call in calls:
            call.context, call.trace_id = spender.context, UUID(trace_id)
        return calls

    async def settle(self) -> None:
        """Count what they cost, now that their rows are stored."""
        answer, self.answer = self.answer, None
        if answer is not None:
            await settle(answer.reservation, total_usd(answer.calls))

    async def store_and_settle(self) -> None:
        """Store them by themselves, and count what they cost, where the message was not stored."""
        answer, self.answer = self.answer, None
        if answer is not None:
            for call in answer.calls:
                call.trace_id = None
            await asyncio.shield(spawn(store_and_settle(answer)))  # it goes on where the client has left


async def _store(calls: Sequence[ModelCall]) -> None:
    if not calls:
        return
    try:
        await ModelCall.objects.abulk_create(calls)
    except DatabaseError as error:
        logger.error("What calls of models cost could not be stored: %s", type(error).__name__)


async def settle_turn(turn: Turn) -> None:
    """Count what an answer cost, once its calls are stored."""
    reservation, turn.reservation = turn.reservation, None
    await settle(reservation, total_usd(turn.calls))


def release_soon(reservation: BudgetReservation | None) -> None:
    """Give back what was reserved for an answer that is not asked for."""
    if reservation is not None:
        spawn(settle(reservation, Decimal()))
