"""Announce that a budget is nearly used up: an event, once for each budget and period."""

import logging
import uuid
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, transaction

from chat.cost_budgets.budget import Budget
from common.errors import FabraError
from events.event import AxiomEvent
from events.handlers import Handler
from events.models import Event
from events.outbox import record_event

logger = logging.getLogger(__name__)

BUDGET_WARNING = "budget_warning"
_IDS = uuid.UUID("6f3c6f0e-7f0e-4d0b-9b57-3d7d3c1d8a10")


def warn(budget: Budget) -> bool:
    """Write the event, and return whether it is stored; a second one of the same limit and period is the same event."""
    payload = {
        "scope": budget.scope, "subject": budget.subject, "period": budget.period, "starts": f"{budget.starts}",
        "limit_usd": float(budget.limit_usd), "share": 0.8, "resets_at": budget.resets_at.isoformat(),
    }  # fmt: skip
    event_id = uuid.uuid5(_IDS, f"{budget.scope}:{budget.subject}:{budget.period}:{budget.starts}:{budget.limit_nano}")
    event = AxiomEvent(
        event_type=BUDGET_WARNING, entity_id=budget.subject or budget.scope, payload=payload, id=str(event_id)
    )
    try:
        with transaction.atomic():  # a transaction around it stays usable
            record_event(event, Event.Source.CHAT)
    except DatabaseError as error:
        logger.warning("The warning of the budget of %s was not written: %s", budget.what, type(error).__name__)
        return False
    except FabraError as error:  # it would fail again
        logger.error("The warning of the budget of %s cannot be written: %s", budget.what, error)
    return True


def handlers(event: Event) -> Sequence[Handler]:
    """Return the handler that writes the warning into the log; endpoints get the event besides."""
    return [Handler(name="log", handle=_log)] if event.event_type == BUDGET_WARNING else []


def _log(event: Event) -> dict[str, Any]:
    told = [event.payload.get(name) for name in ("period", "scope", "subject")]
    logger.warning("80 %% of the %s's budget of the %s %s is spent.", *told)
    return {"logged": True}
