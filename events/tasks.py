"""Celery tasks of the outbox."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from events.dispatch import DEFAULT_QUEUE, STATE_QUEUE, dispatch, dispatch_all, messages_in, queue_of
from events.models import Event, EventQuerySet
from events.models.events import LOOK_AFTER, REDISPATCH_AFTER
from events.processing import StateLocked, process_newest, release_abandoned

_LOCKED_RETRY_S, _LOCKED_RETRY_MAX_S = 0.05, 2.0


@shared_task
def process_event(event_pk: int, waited_s: float = 0) -> None:
    """Process an event; while its state is locked, enqueue it again with a delay that doubles each time."""
    try:
        event = process_newest(event_pk)
    except StateLocked as locked:
        wait_s = min(max(waited_s * 2, _LOCKED_RETRY_S), _LOCKED_RETRY_MAX_S)
        Event.objects.filter(pk=event_pk).update(dispatched_at=timezone.now())
        dispatch(event_pk, queue_of(locked.event.event_type), wait_s, waited_s=wait_s)
        return
    if event is not None and event.state == Event.State.RETRYING:
        wait_s = (event.next_attempt_at - timezone.now()).total_seconds()
        dispatch(event.pk, queue_of(event.event_type), wait_s)


@shared_task
def prune_events() -> None:
    """Delete events that were processed longer ago than FABRA_EVENT_RETENTION."""
    Event.objects.prune(timezone.now() - settings.FABRA_EVENT_RETENTION)


@shared_task
def sweep() -> None:
    """Enqueue events that were left behind by a crash or an outage of the broker."""
    dispatch_all(release_abandoned())
    _dispatch_again(STATE_QUEUE, Event.objects.exclude(state_key=""))
    _dispatch_again(DEFAULT_QUEUE, Event.objects.filter(state_key=""))


def _dispatch_again(queue: str, events: EventQuerySet) -> None:
    """Enqueue again the events that Celery seems to have lost; in a long queue they may only be waiting."""
    waiting = messages_in(queue)
    if waiting >= settings.FABRA_EVENT_SWEEP_LIMIT:
        return
    after = REDISPATCH_AFTER if waiting else LOOK_AFTER
    forgotten = list(
        events.forgotten(after).order_by("next_attempt_at").only("event_type")[: settings.FABRA_EVENT_SWEEP_LIMIT]
    )
    Event.objects.filter(pk__in=[event.pk for event in forgotten]).update(dispatched_at=timezone.now())
    dispatch_all(forgotten)
