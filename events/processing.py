"""Process one event of the outbox: claim it, apply it in order, run its handlers, retry or give up."""

import asyncio
import logging
import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from inspect import iscoroutinefunction

from asgiref.sync import async_to_sync

from common.errors import InvalidInput
from common.locks import held
from events.arrival import correct_time
from events.handlers import Handler, Handlers, handlers_of, handling
from events.models import Event, HandlerOutcome

logger = logging.getLogger(__name__)

_STATE_WAIT_S = 0.2
"""How long a worker waits for a state that another worker is changing: about as long as a change takes."""


class StateLocked(Exception):
    """Another worker applies an event to the same state; try again in a moment."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


def process_newest(event_pk: int) -> Event | None:
    """Process the event, or a newer one about the same state that replaces it; see `process`."""
    return process(Event.objects.next_of_state(event_pk))


def process(event_pk: int) -> Event | None:
    """Process an event that is due; return it, or None if it is not due or another worker has it.

    Raise StateLocked while another event about the same state is being applied.
    """
    event = Event.objects.due().filter(pk=event_pk).first()
    if event is None:
        return None
    # 1. One worker per event: the lock ends with the worker, so `release_abandoned` of the queryset sees that it died.
    with held(event.lock_name) as is_mine:
        if not is_mine:
            return None
        # 2. One event per state, while the state changes.
        with _state_lock(event) as is_free:
            if not is_free:
                raise StateLocked(event)
            # 3. Another worker may have processed the event since it was read.
            if not event.claim():
                return None
            # 4. What a clock that was ahead has dated to the future is put where it arrived.
            correct_time(event)
            # 5. Set the state to what the event says, unless a later state was applied.
            handlers = handlers_of(event)
            reads_current = _only_reads_current(handlers)
            is_superseded = event.is_superseded() and not reads_current
            of_state = _of_superseded(handlers.of_state) if is_superseded else handlers.of_state
            seen = _waiting_for_the_same(event) if reads_current else Event.objects.waiting_before(event)
            with handling(event, is_superseded=is_superseded):
                outcomes = _run(event, of_state)
            is_superseded = is_superseded or any(outcome.is_superseded for outcome in outcomes)
            # 6. Store that the state is in effect; older waiting events end now if no other handler needs them. One
            #    that came in meanwhile is processed, since it may say what this one leaves as it was.
            if outcomes and all(outcome.is_done for outcome in outcomes) and not is_superseded:
                event.mark_applied()
                if reads_current or (not handlers.of_event and all(handler.applies_state for handler in of_state)):
                    Event.objects.end_superseded(seen)
        # 7. The state's lock is released: a slow handler of this event does not delay the state's next event.
        outcomes += _run(event, handlers.of_event)
        # 8. End the event, schedule a retry, or give up.
        is_handled = bool(handlers.of_state or handlers.of_event)
        event.end_or_retry(outcomes, is_superseded=is_superseded, is_handled=is_handled)
    return event


def _of_superseded(handlers: Sequence[Handler]) -> list[Handler]:
    """Return the handlers for an event that a later one superseded: none of them sets the state to what it says."""
    others = [handler for handler in handlers if not handler.applies_state]
    late = [(handler, handler.handle_superseded) for handler in handlers if handler.applies_state]
    return others + [replace(handler, handle=handle) for handler, handle in late if handle is not None]


def _only_reads_current(handlers: Handlers) -> bool:
    return bool(handlers.of_state) and all(handler.reads_current for handler in handlers.of_state)


def _waiting_for_the_same(event: Event) -> list[int]:
    """Return the waiting events of the state that have nothing to do once this one's handlers have looked.

    They were committed before that. One that is committed later must have its handlers look again.
    """
    found = [(row, handlers_of(row)) for row in Event.objects.waiting_beside(event)]
    return [row.pk for row, handlers in found if _only_reads_current(handlers) and not handlers.of_event]


def _state_lock(event: Event) -> AbstractContextManager[bool]:
    return held(f"state:{event.state_key}", wait_s=_STATE_WAIT_S) if event.state_key else nullcontext(True)


def _run(event: Event, handlers: Sequence[Handler]) -> list[HandlerOutcome]:
    """Run the handlers that have not succeeded yet, async ones concurrently; return every handler's outcome."""
    if not handlers:
        return []
    names = [handler.name for handler in handlers]
    outcomes = list(HandlerOutcome.objects.filter(event=event, is_done=True, handler__in=names))
    done = {outcome.handler for outcome in outcomes}
    left = [handler for handler in handlers if handler.name not in done]
    async_handlers = [handler for handler in left if iscoroutinefunction(handler.handle)]
    new = [_run_sync(event, handler) for handler in left if handler not in async_handlers]
    if async_handlers:
        new += async_to_sync(_run_concurrently)(event, async_handlers)
    HandlerOutcome.objects.record(new)
    return outcomes + new


def _run_sync(event: Event, handler: Handler) -> HandlerOutcome:
    started = time.perf_counter()
    try:
        return _outcome(event, handler, started, detail=handler.handle(event))
    except Exception as error:  # anything a handler raises is its own failure and must not stop the others
        return _outcome(event, handler, started, error=error)


async def _run_concurrently(event: Event, handlers: Sequence[Handler]) -> list[HandlerOutcome]:
    return list(await asyncio.gather(*[_run_async(event, handler) for handler in handlers]))


async def _run_async(event: Event, handler: Handler) -> HandlerOutcome:
    started = time.perf_counter()
    try:
        return _outcome(event, handler, started, detail=await handler.handle(event))
    except Exception as error:  # as in _run_sync
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
