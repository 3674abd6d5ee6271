"""Enqueue events for processing."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings

from common.dispatch import enqueue
from common.redis import REDIS_ERRORS, plain_redis, redis_key
from events.models import Event
from events.ordering import is_urgent

PROCESS_EVENT, SEND_WEBHOOKS = "events.tasks.process_event", "events.tasks.send_webhooks"
REMOVE_ENDPOINT = "events.tasks.remove_endpoint"
STATE_QUEUE, DEFAULT_QUEUE, WEBHOOK_QUEUE = "state", "default", "webhooks"


def queue_of(event_type: str) -> str:
    """Return an event's queue: those of an urgent state do not wait behind a thousand others."""
    return STATE_QUEUE if is_urgent(event_type) else DEFAULT_QUEUE


def enqueue_event(event_pk: int, queue: str, delay_s: float = 0, **kwargs: Any) -> bool:
    """Enqueue an event and return whether the broker accepted it; if not, the outbox's sweep enqueues it later."""
    otherwise = f"event {event_pk} waits for the sweep"
    return enqueue(PROCESS_EVENT, event_pk, otherwise=otherwise, queue=queue, delay_s=delay_s, **kwargs)


def enqueue_events(rows: Iterable[Event]) -> None:
    """Enqueue events, up to the first that the broker does not accept; the sweep enqueues the rest."""
    for row in rows:
        if not enqueue_event(row.pk, queue_of(row.event_type)):
            return


def enqueue_webhooks(endpoint_pk: int) -> bool:
    """Enqueue the sending of what is due for an endpoint; return whether the broker accepted it."""
    otherwise = f"the deliveries to endpoint {endpoint_pk} wait for the sweep"
    return enqueue(SEND_WEBHOOKS, endpoint_pk, otherwise=otherwise, queue=WEBHOOK_QUEUE)


def enqueue_removal(endpoint_pk: int) -> bool:
    """Enqueue the deletion of an endpoint that is marked; return whether the broker accepted it."""
    otherwise = f"the deletion of endpoint {endpoint_pk} waits for the sweep"
    return enqueue(REMOVE_ENDPOINT, endpoint_pk, otherwise=otherwise, queue=WEBHOOK_QUEUE)


def messages_in(queue: str) -> int:
    """Return how many messages wait in the broker's queue; 0 if it does not answer, 1 if the broker is not ours."""
    if not settings.FABRA_OWN_PROJECT:
        return 1
    try:
        return int(plain_redis(settings.FABRA_REDIS_TIMEOUT_S).llen(redis_key("celery", queue)))
    except REDIS_ERRORS:
        return 0
