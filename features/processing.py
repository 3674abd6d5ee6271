"""Process one event of the outbox: claim, order, run its handlers, retry or give up."""

import asyncio
import logging
import random
import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import models
from django.utils import timezone

from features.errors import InvalidInput
from features.handlers import Handler, handlers_of, state_moment_of
from features.locks import held
from features.models import Event, HandlerOutcome

logger = logging.getLogger(__name__)

_STATE_WAIT_S = 0.2
"""How long a worker waits for a document that another one is changing: about as long as that takes."""
_BACKOFF_S = 2.0
_BACKOFF_MAX_S = 600.0


class Busy(Exception):
    """Another worker applies an event to the same state; try again in a moment."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


def take_turn(event_pk: int) -> Event | None:
    """Process the event, or a newer one of the same state that makes it needless; see `process`."""
    return process(Event.objects.next_of_state(event_pk))


def process(event_pk: int) -> Event | None:
    """Process an event that is due; return it, or None if it is not this worker's to do.

    Raise Busy while another event about the same state is being applied. The state is held only while it
    changes: a slow feature of one event does not keep the next one from being applied.
    """
    event = Event.objects.due().filter(pk=event_pk).first()
    if event is None:
        return None
    with held(f"event:{event.pk}") as is_mine:
        if not is_mine:
            return None
        with _hold_state(event) as is_free:
            if not is_free:
                raise Busy(event)
            if not _claim(event):
                return None
            outcomes, others, is_superseded = async_to_sync(_apply_state)(event, _is_superseded(event))
        if others:
            outcomes += async_to_sync(_run_all)(event, others)
        _settle(event, outcomes, is_superseded)
    return event


def release_abandoned() -> list[Event]:
    """Return to the queue what a worker was at when it died: nobody holds its lock any more."""
    released = []
    for event in Event.objects.long_running().only("event_type"):
        with held(f"event:{event.pk}") as is_held:
            if is_held and Event.objects.filter(pk=event.pk, state=Event.State.RUNNING).update(
                state=Event.State.RECEIVED, next_attempt_at=timezone.now()
            ):
                released.append(event)
    return released


def _hold_state(event: Event) -> AbstractContextManager[bool]:
    return held(f"state:{event.state_key}", wait_s=_STATE_WAIT_S) if event.state_key else nullcontext(True)


def _claim(event: Event) -> bool:
    """Mark the event as running; False if it is no longer due."""
    now = timezone.now()
    is_claimed = (
        Event.objects.due(now)
        .filter(pk=event.pk)
        .update(state=Event.State.RUNNING, attempts=models.F("attempts") + 1, started_at=now)
    )
    event.state, event.attempts, event.started_at = Event.State.RUNNING, event.attempts + 1, now
    return bool(is_claimed)


def _is_superseded(event: Event) -> bool:
    return bool(event.state_key) and event.applied_at is None and Event.objects.is_superseded(event)


async def _apply_state(event: Event, is_superseded: bool) -> tuple[list[HandlerOutcome], Sequence[Handler], bool]:
    """Make the state what the event says, unless a later one is there.

    Return the handlers' outcomes, the handlers that are left, and whether a later state was there.
    """
    handlers = await handlers_of(event)
    of_state = [handler for handler in handlers.of_state if handler.heeds_order or not is_superseded]
    with state_moment_of(event, is_superseded):
        outcomes = await _run_all(event, of_state)
    is_superseded = is_superseded or any(outcome.is_superseded for outcome in outcomes)
    is_applied = bool(outcomes) and all(outcome.is_done for outcome in outcomes)
    if is_applied and not is_superseded and event.applied_at is None:
        event.applied_at = timezone.now()
        await Event.objects.filter(pk=event.pk).aupdate(applied_at=event.applied_at)
        if not handlers.of_event and not any(handler.heeds_order for handler in of_state):
            # Nobody is left who would want to hear of the older ones.
            await sync_to_async(Event.objects.supersede)(event)
    return outcomes, handlers.of_event, is_superseded


async def _run_all(event: Event, handlers: Sequence[Handler]) -> list[HandlerOutcome]:
    """Run beside each other what has not succeeded yet; return every handler's outcome."""
    names = {handler.name for handler in handlers}
    done = [each async for each in HandlerOutcome.objects.filter(event=event, is_done=True, handler__in=names)]
    left = [handler for handler in handlers if handler.name not in {outcome.handler for outcome in done}]
    return [*done, *await asyncio.gather(*[_run(event, handler) for handler in left])]


async def _run(event: Event, handler: Handler) -> HandlerOutcome:
    started, detail, error, is_hopeless = time.perf_counter(), None, "", False
    try:
        detail = await handler.handle(event)
    except Exception as raised:  # whatever a handler raises is its failure, and no other handler's
        error, is_hopeless = traceback.format_exc(), isinstance(raised, InvalidInput)
        logger.warning("%s failed for event %s (attempt %d).", handler.name, event.event_id, event.attempts)
    outcome = HandlerOutcome(
        event=event,
        handler=handler.name,
        is_done=not error,
        is_hopeless=is_hopeless,
        attempts=event.attempts,
        duration_ms=round((time.perf_counter() - started) * 1000, 3),
        detail=detail,
        error=error,
    )
    await sync_to_async(outcome.note)()
    return outcome


def _settle(event: Event, outcomes: Sequence[HandlerOutcome], is_superseded: bool) -> None:
    """Done if every handler is; else retry with backoff and jitter, and after the limit give up.

    What failed before and need not run for a superseded event is no failure any more.
    """
    failed = [outcome for outcome in outcomes if not outcome.is_done]
    error = "\n".join(outcome.error for outcome in failed)
    if not failed:
        _end(event, Event.State.SUPERSEDED if is_superseded else Event.State.DONE)
    elif any(outcome.is_hopeless for outcome in failed) or event.attempts >= settings.FABRA_EVENT_MAX_ATTEMPTS:
        _end(event, Event.State.DEAD, error)
    else:
        wait_s = min(_BACKOFF_MAX_S, _BACKOFF_S * 2 ** (event.attempts - 1)) * random.uniform(0.75, 1.25)  # noqa: S311
        event.state, event.error = Event.State.RETRYING, error
        event.next_attempt_at = timezone.now() + timedelta(seconds=wait_s)
        event.save(update_fields=["state", "error", "next_attempt_at"])


def _end(event: Event, state: str, error: str = "") -> None:
    event.state, event.error, event.finished_at = state, error, timezone.now()
    event.save(update_fields=["state", "error", "finished_at"])
