"""Process one event of the outbox: claim, order, run its handlers, retry or give up."""

import logging
import random
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection, models
from django.utils import timezone

from features.errors import InvalidInput
from features.events import state_family
from features.handlers import Handler, handlers_of
from features.models import Event, HandlerOutcome

logger = logging.getLogger(__name__)

_BACKOFF_S = 2.0
_BACKOFF_MAX_S = 600.0


class Busy(Exception):
    """Another worker applies an event to the same entity; try again in a moment."""


def process(event_pk: int) -> Event | None:
    """Process an event that is due; return it, or None if it is not this worker's to do.

    Raise Busy while another event of the same family is being applied to its entity.
    """
    event = Event.objects.due().filter(pk=event_pk).first()
    if event is None:
        return None
    family = state_family(event.event_type)
    with _lock(event) as is_held:
        if not is_held:
            if family:
                raise Busy
            return None
        if not _claim(event):
            return None
        if family and Event.objects.is_superseded(event, family):
            _end(event, Event.State.SUPERSEDED)
        else:
            is_hopeless = async_to_sync(_run_handlers)(event)
            _settle(event, is_hopeless)
    return event


def release_abandoned() -> list[int]:
    """Return to the queue what a worker was at when it died: nobody holds its lock any more."""
    released = []
    for event in Event.objects.long_running():
        with _lock(event) as is_held:
            if is_held and Event.objects.filter(pk=event.pk, state=Event.State.RUNNING).update(
                state=Event.State.RECEIVED, next_attempt_at=timezone.now()
            ):
                released.append(event.pk)
    return released


@contextmanager
def _lock(event: Event) -> Iterator[bool]:
    """Hold the event for the length of its handlers, an event of a state family the entity's state.

    PostgreSQL holds the lock for the connection, so it goes with the worker, however that dies.
    """
    family = state_family(event.event_type)
    name = f"{family}:{event.entity_id}" if family else f"event:{event.pk}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
        is_held = cursor.fetchone()[0]
    try:
        yield is_held
    finally:
        if is_held:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])


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


async def _run_handlers(event: Event) -> bool:
    """Run what has not succeeded yet; return whether a failure is the event's own, so that no retry helps."""
    done = {outcome.handler async for outcome in HandlerOutcome.objects.filter(event=event, is_done=True)}
    results = [await _run_handler(event, handler) for handler in await handlers_of(event) if handler.name not in done]
    return any(results)


async def _run_handler(event: Event, handler: Handler) -> bool:
    started, detail, error, is_hopeless = time.perf_counter(), None, "", False
    try:
        detail = await handler.handle(event)
    except Exception as raised:  # whatever a handler raises is its failure, and no other handler's
        error, is_hopeless = traceback.format_exc(), isinstance(raised, InvalidInput)
        logger.warning("%s failed for event %s (attempt %d).", handler.name, event.event_id, event.attempts)
    await HandlerOutcome.objects.aupdate_or_create(
        event=event,
        handler=handler.name,
        defaults={
            "is_done": not error,
            "attempts": event.attempts,
            "duration_ms": round((time.perf_counter() - started) * 1000, 3),
            "detail": detail,
            "error": error,
        },
    )
    return is_hopeless


def _settle(event: Event, is_hopeless: bool) -> None:
    """Done if every handler is; else retry with backoff and jitter, and after the limit give up."""
    failed = list(event.outcomes.filter(is_done=False).values_list("error", flat=True))
    if not failed:
        _end(event, Event.State.DONE)
    elif is_hopeless or event.attempts >= settings.FABRA_EVENT_MAX_ATTEMPTS:
        _end(event, Event.State.DEAD, error="\n".join(failed))
    else:
        wait_s = min(_BACKOFF_MAX_S, _BACKOFF_S * 2 ** (event.attempts - 1)) * random.uniform(0.75, 1.25)  # noqa: S311
        event.state = Event.State.RETRYING
        event.error = "\n".join(failed)
        event.next_attempt_at = timezone.now() + timedelta(seconds=wait_s)
        event.save(update_fields=["state", "error", "next_attempt_at"])


def _end(event: Event, state: str, error: str = "") -> None:
    event.state, event.error, event.finished_at = state, error, timezone.now()
    event.save(update_fields=["state", "error", "finished_at"])
