"""Budgets while Redis is down: what is stored and what is reserved is summed up under a lock for each subject."""

import logging
import uuid
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Sum
from django.utils import timezone

from chat.cost_budgets.budget import Budget
from chat.cost_budgets.warnings import warn
from chat.errors import CostBudgetExhausted
from chat.models import ReservedCost
from common.locks import lock_in_transaction

logger = logging.getLogger(__name__)


def reserve(budgets: Sequence[Budget], usd: Decimal) -> str:
    """Reserve an amount in all budgets, or in none; return the reservation's token. Raise CostBudgetExhausted."""
    subjects = sorted({_subject(budget) for budget in budgets})  # in one order, so that no two wait for each other
    token = uuid.uuid4().hex
    with transaction.atomic():
        for subject in subjects:
            lock_in_transaction(f"budget {subject}")
        spent = {budget: budget.spent() for budget in budgets}
        full = [budget for budget in budgets if spent[budget] + reserved(budget) + usd > budget.limit_usd]
        if full:
            raise CostBudgetExhausted(full)
        ReservedCost.objects.bulk_create(ReservedCost(subject=subject, token=token, usd=usd) for subject in subjects)
    for budget, spent_usd in spent.items():
        if spent_usd >= budget.warning_usd:
            warn(budget)
    return token


def settle(token: str) -> None:
    """End a reservation, after the row of what the call cost is stored; one that stays ends by itself."""
    try:
        ReservedCost.objects.filter(token=token).delete()
    except DatabaseError as error:  # the answer is stored, or has failed already
        logger.warning("A reservation of a budget stays for a while: %s", type(error).__name__)


def reserved(budget: Budget) -> Decimal:
    """Return what is reserved here, in US dollars."""
    # One older than any deadline was left by a crash.
    since = timezone.now() - timedelta(seconds=2 * settings.FABRA_CHAT_DEADLINE_S)
    rows = ReservedCost.objects.filter(subject=_subject(budget), created_at__gt=since)
    total: Decimal = rows.aggregate(usd=Sum("usd", default=Decimal()))["usd"]
    return total


def _subject(budget: Budget) -> str:
    return f"{budget.scope}:{budget.subject}"
