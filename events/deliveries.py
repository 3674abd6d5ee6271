"""Make the deliveries of events to webhook endpoints: one row for each, sent by Celery."""

import uuid
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from events.dispatch import enqueue_webhooks
from events.event import AxiomEvent
from events.handlers import Handler, changed_row
from events.models import Event, WebhookDelivery, WebhookEndpoint
from events.outbox import columns_of

TEST_TYPE = "webhook_test"


def observers(event: Event) -> Sequence[Handler]:
    """Return the handler that delivers the event to the endpoints that want it, if there are any."""
    endpoints = WebhookEndpoint.objects.wanting(event.event_type)
    return [Handler(name="webhooks", handle=partial(_deliver, endpoints))] if endpoints else []


def _deliver(endpoints: Sequence[WebhookEndpoint], event: Event) -> dict[str, Any]:
    deliveries = make_deliveries(event, endpoints)
    names = {endpoint.pk: endpoint.name for endpoint in endpoints}
    return {"changed": [changed_row(WebhookDelivery, row.pk, f"to {names[row.endpoint_id]}") for row in deliveries]}


def make_deliveries(event: Event, endpoints: Sequence[WebhookEndpoint]) -> list[WebhookDelivery]:
    """Write a delivery for each endpoint, enqueue them on commit, and return them.

    It is made once: an event that is processed again after a crash finds its deliveries there.
    """
    with transaction.atomic():
        rows = [WebhookDelivery(endpoint=endpoint, event=event) for endpoint in endpoints]
        WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True)
        transaction.on_commit(lambda: _enqueue(endpoint.pk for endpoint in endpoints))
        return list(WebhookDelivery.objects.filter(event=event, endpoint__in=endpoints).order_by("pk"))


def send_test(endpoint: WebhookEndpoint, asked_by: str) -> WebhookDelivery:
    """Write an event for this endpoint alone, whatever types it wants, and have it delivered at once."""
    payload = {"endpoint": endpoint.name, "asked_by": asked_by}
    event = AxiomEvent(event_type=TEST_TYPE, entity_id=str(uuid.uuid4()), payload=payload)
    with transaction.atomic():
        columns = columns_of(event, Event.Source.ADMIN, asked_by)
        now = timezone.now()
        row = Event.objects.create(event_id=event.id, state=Event.State.DONE, finished_at=now, **columns)
        _end_pause([endpoint.pk])
        return make_deliveries(row, [endpoint])[0]


def send_again(deliveries: QuerySet[WebhookDelivery]) -> int:
    """Put deliveries back, whatever became of them, and return how many; their endpoints are no longer paused."""
    with transaction.atomic():
        endpoints = set(deliveries.values_list("endpoint", flat=True))
        count = WebhookDelivery.objects.filter(pk__in=list(deliveries.values_list("pk", flat=True))).send_again()
        _end_pause(endpoints)
        transaction.on_commit(lambda: _enqueue(endpoints))
    return count


def _end_pause(endpoint_pks: Iterable[int]) -> None:
    WebhookEndpoint.objects.filter(pk__in=list(endpoint_pks)).update(paused_until=None)


def _enqueue(endpoint_pks: Iterable[int]) -> None:
    for endpoint_pk in endpoint_pks:
        if not enqueue_webhooks(endpoint_pk):
            return
