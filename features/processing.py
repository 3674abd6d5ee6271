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
from django.db import connection, transaction
from django.utils import timezone

from features.errors import InvalidInput
from features.handlers import Handler, handlers_of, state_family
from features.models import Event, HandlerOutcome

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=17)
"""A running event whose lease is over has lost its worker: a little more than Celery's task limit."""
_BACKOFF_S = 2.0
_BACKOFF_MAX_S = 600.0


class Busy(Exception):
    """Another worker applies an event to the same entity; try again in a moment."""


def process(event_pk: int) -> Event | None:
    """Process an event that is due; return it, or None if it is not this worker's to do.

    Raise Busy while another event of the same family is being applied to its entity.
    """
    event = _claim(event_pk)
    if event is None:
        return None
    family = state_family(event.event_type)
    try:
        with _entity_lock(event, family):
            if family and Event.objects.is_superseded(event, family):
                _end(event, Event.State.SUPERSEDED)
                return event
            is_hopeless = async_to_sync(_run_handlers)(event)
            _settle(event, is_hopeless)
    except Busy:
        _release(event)
        raise
    return event


def _claim(event_pk: int) -> Event | None:
    with transaction.atomic():
        event = Event.objects.due().select_for_update(skip_locked=True).filter(pk=event_pk).first()
        if event is None:
            return None
        event.state = Event.State.RUNNING
        event.attempts += 1
        event.started_at = timezone.now()
        event.next_attempt_at = event.started_at + LEASE
        event.save(update_fields=["state", "attempts", "started_at", "next_attempt_at"])
    return event


@contextmanager
def _entity_lock(event: Event, family: str | None) -> Iterator[None]:
    """Hold the entity's state for the length of the handlers; a dead worker's connection lets go of it."""
    if family is None:
        yield
        return
    name = f"{family}:{event.entity_id}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
        if not cursor.fetchone()[0]:
            raise Busy
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])


async def _run_handlers(event: Event) -> bool:
    """Run what has not succeeded yet; return whether a failure is the event's own, so that no retry helps."""
    done = {outcome.handler async for outcome in HandlerOutcome.objects.filter(event=event, is_done=True)}
    results = [
        await _run_handler(event, handler) for handler in await handlers_of(event) if handler.name not in done
    ]
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


def _release(event: Event) -> None:
    event.state, event.attempts, event.next_attempt_at = Event.State.RECEIVED, event.attempts - 1, timezone.now()
    event.save(update_fields=["state", "attempts", "next_attempt_at"])
