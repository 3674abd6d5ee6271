"""Process one event of the outbox: claim, order, run its handlers, retry or give up."""

import asyncio
import logging
import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import iscoroutinefunction

from asgiref.sync import async_to_sync
from django.utils import timezone

from common.errors import InvalidInput
from common.locks import held
from events.handlers import Handler, handlers_of, handling
from events.models import Event, HandlerOutcome

logger = logging.getLogger(__name__)

_STATE_WAIT_S = 0.2
"""How long a worker waits for a state that another one is changing: about as long as a change takes."""


class StateLocked(Exception):
    """Another worker applies an event to the same state; try again in a moment."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


def process_newest(event_pk: int) -> Event | None:
    """Process the event, or a newer one of the same state that makes it needless; see `process`."""
    return process(Event.objects.next_of_state(event_pk))


def process(event_pk: int) -> Event | None:
    """Process an event that is due; return it, or None if it is not this worker's to do.

    Raise StateLocked while another event about the same state is being applied.
    """
    event = Event.objects.due().filter(pk=event_pk).first()
    if event is None:
        return None
    # 1. One worker for each event: the lock goes with the worker, so `release_abandoned` can tell that it died.
    with held(f"event:{event.pk}") as is_mine:
        if not is_mine:
            return None
        # 2. One event for each state, for as long as the state changes.
        with _state_lock(event) as is_free:
            if not is_free:
                raise StateLocked(event)
            # 3. Somebody may have processed it since it was read.
            if not event.claim():
                return None
            # 4. Make the state what the event says, unless a later state is there.
            handlers = handlers_of(event)
            is_superseded = event.is_superseded()
            of_state = [each for each in handlers.of_state if not (each.applies_state and is_superseded)]
            with handling(event, is_superseded=is_superseded):
                outcomes = _run(event, of_state)
            is_superseded = is_superseded or any(outcome.is_superseded for outcome in outcomes)
            # 5. Say that it is in effect; older events that nobody else wants to hear of end with it.
            if outcomes and all(outcome.is_done for outcome in outcomes) and not is_superseded:
                event.mark_applied()
                if not handlers.of_event and all(each.applies_state for each in of_state):
                    Event.objects.supersede(event)
        # 6. The state is free again: a slow handler of this event does not hold up the next one.
        outcomes += _run(event, handlers.of_event)
        # 7. Done, to be tried again, or given up.
        event.settle(outcomes, is_superseded=is_superseded)
    return event


def release_abandoned() -> list[Event]:
    """Return to the queue what a worker had claimed when it died: nobody holds its lock any more."""
    released = []
    for event in Event.objects.long_running().only("event_type"):
        with held(f"event:{event.pk}") as is_held:
            if is_held and Event.objects.filter(pk=event.pk, state=Event.State.RUNNING).update(
                state=Event.State.RECEIVED, next_attempt_at=timezone.now()
            ):
                released.append(event)
    return released


def _state_lock(event: Event) -> AbstractContextManager[bool]:
    return held(f"state:{event.state_key}", wait_s=_STATE_WAIT_S) if event.state_key else nullcontext(True)


def _run(event: Event, handlers: Sequence[Handler]) -> list[HandlerOutcome]:
    """Run what has not succeeded yet, async handlers beside each other; return every handler's outcome."""
    if not handlers:
        return []
    names = [handler.name for handler in handlers]
    outcomes = list(HandlerOutcome.objects.filter(event=event, is_done=True, handler__in=names))
    done = {outcome.handler for outcome in outcomes}
    left = [handler for handler in handlers if handler.name not in done]
    waiting = [handler for handler in left if iscoroutinefunction(handler.handle)]
    new = [_run_plain(event, handler) for handler in left if handler not in waiting]
    if waiting:
        new += async_to_sync(_run_beside)(event, waiting)
    HandlerOutcome.objects.record(new)
    return outcomes + new


def _run_plain(event: Event, handler: Handler) -> HandlerOutcome:
    started = time.perf_counter()
    try:
        return _outcome(event, handler, started, detail=handler.handle(event))
    except Exception as error:  # whatever a handler raises is its failure, and no other handler's
        return _outcome(event, handler, started, error=error)


async def _run_beside(event: Event, handlers: Sequence[Handler]) -> list[HandlerOutcome]:
    return list(await asyncio.gather(*[_run_async(event, handler) for handler in handlers]))


async def _run_async(event: Event, handler: Handler) -> HandlerOutcome:
    started = time.perf_counter()
    try:
        return _outcome(event, handler, started, detail=await handler.handle(event))
    except Exception as error:  # as in _run_plain
        return _outcome(event, handler, started, error=error)


def _outcome(
    event: Event, handler: Handler, started: float, *, detail: object = None, error: Exception | None = None
) -> HandlerOutcome:
    if error is not None:
        logger.warning("%s failed for event %s (attempt %d).", handler.name, event.event_id, event.attempts)
    return HandlerOutcome(
        event=event,
        handler=handler.name,
        is_done=error is None,
        is_permanent=isinstance(error, InvalidInput),
        attempts=event.attempts,
        duration_ms=round((time.perf_counter() - started) * 1000, 3),
        detail=detail,
        error="".join(traceback.format_exception(error)) if error else "",
    )
