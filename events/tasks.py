"""Celery tasks of the outbox."""

from django.conf import settings
from django.utils import timezone

from common.bot_task import bot_task
from common.clocks import is_past
from common.time_slices import task_slice
from events import hours
from events.dispatch import (
    DEFAULT_QUEUE,
    STATE_QUEUE,
    WEBHOOK_QUEUE,
    enqueue_event,
    enqueue_events,
    enqueue_removal,
    enqueue_webhooks,
    messages_in,
    queue_of,
)
from events.models import Event, EventQuerySet, WebhookDelivery, WebhookEndpoint
from events.models.events import LOOK_AFTER, REDISPATCH_AFTER
from events.ordering import urgent_prefixes
from events.processing import StateLocked, process_newest
from events.removal import remove_marked
from events.sending import send_due

_LOCKED_RETRY_S, _LOCKED_RETRY_MAX_S = 0.05, 2.0


@bot_task
def process_event(event_pk: int, waited_s: float = 0) -> None:
    """Process an event; while its state is locked, enqueue it again with a delay that doubles each time."""
    try:
        event = process_newest(event_pk)
    except StateLocked as locked:
        wait_s = min(max(waited_s * 2, _LOCKED_RETRY_S), _LOCKED_RETRY_MAX_S)
        Event.objects.filter(pk=event_pk).update(dispatched_at=timezone.now())
        enqueue_event(event_pk, queue_of(locked.event.event_type), wait_s, waited_s=wait_s)
        return
    if event is not None and event.state == Event.State.RETRYING:
        wait_s = (event.next_attempt_at - timezone.now()).total_seconds()
        enqueue_event(event.pk, queue_of(event.event_type), wait_s)


@bot_task
def sweep() -> None:
    """Enqueue events that were left behind by a crash or an outage of the broker."""
    enqueue_events(Event.objects.release_abandoned())
    urgent = Event.objects.of_types(urgent_prefixes())
    _enqueue_again(STATE_QUEUE, urgent)
    _enqueue_again(DEFAULT_QUEUE, Event.objects.exclude(pk__in=urgent.due().values("pk")))


@bot_task
def keep_hours() -> None:
    """Keep what became of the events of past hours, for the charts of a week and a month."""
    hours.keep_hours()


@bot_task
def send_webhooks(endpoint_pk: int) -> None:
    """Send what is due for an endpoint; what is left then is enqueued behind the other endpoints' deliveries."""
    if send_due(endpoint_pk):
        enqueue_webhooks(endpoint_pk)


@bot_task
def remove_endpoint(endpoint_pk: int) -> None:
    """Delete an endpoint and its deliveries for a slice, then enqueue the rest."""
    if remove_marked(endpoint_pk, task_slice()):
        enqueue_removal(endpoint_pk)


@bot_task
def sweep_webhooks() -> None:
    """Enqueue the endpoints whose deliveries are due: retries, and what a crash or an outage of the broker left.

    Those that are being deleted are gone on with, too.
    """
    WebhookDelivery.objects.expire()
    waiting = messages_in(WEBHOOK_QUEUE)
    if waiting >= settings.FABRA_EVENT_SWEEP_LIMIT:
        return
    now = timezone.now()
    after = REDISPATCH_AFTER if waiting else LOOK_AFTER
    forgotten = is_past("dispatched_at", since=after, now=now)
    due = WebhookEndpoint.objects.with_due(now).filter(forgotten).order_by("dispatched_at")
    for endpoint in [*WebhookEndpoint.objects.being_deleted().filter(forgotten), *due]:
        if not (enqueue_removal if endpoint.deleted_at else enqueue_webhooks)(endpoint.pk):
            return
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(dispatched_at=now)


def _enqueue_again(queue: str, events: EventQuerySet) -> None:
    """Enqueue again the events that Celery seems to have lost; in a long queue they may only be waiting."""
    waiting = messages_in(queue)
    if waiting >= settings.FABRA_EVENT_SWEEP_LIMIT:
        return
    after = REDISPATCH_AFTER if waiting else LOOK_AFTER
    forgotten = list(
        events.forgotten(after).order_by("next_attempt_at").only("event_type")[: settings.FABRA_EVENT_SWEEP_LIMIT]
    )
    Event.objects.filter(pk__in=[event.pk for event in forgotten]).update(dispatched_at=timezone.now())
    enqueue_events(forgotten)
