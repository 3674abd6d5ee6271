"""Delete webhook endpoints: each with its deliveries, which may be a million, in batches by a worker."""

from django.db import transaction

from common.locks import held
from common.time_slices import IsOver
from events.dispatch import enqueue_removal
from events.models import WebhookDelivery, WebhookEndpoint

BATCH = 1000
"""Deliveries that one transaction deletes, with their attempts."""


def delete_endpoint(endpoint: WebhookEndpoint) -> bool:
    """Delete an endpoint, or have a worker do so if it has many deliveries; return whether it is gone.

    If the broker does not answer, the sweep goes on with it.
    """
    if WebhookDelivery.objects.filter(endpoint=endpoint).order_by()[: BATCH + 1].count() <= BATCH:
        endpoint.delete()
        return True
    endpoint.mark_deleted()
    transaction.on_commit(lambda: enqueue_removal(endpoint.pk))
    return False


def remove_marked(endpoint_pk: int, until: IsOver = lambda: False) -> bool:
    """Delete an endpoint that is marked, after its deliveries; return whether some are left when `until()` is true.

    One worker does so at a time, and none while another sends to the endpoint; whoever is late leaves it to the sweep.
    """
    with held(f"webhooks:{endpoint_pk}") as is_mine:
        if not is_mine or not WebhookEndpoint.objects.being_deleted().filter(pk=endpoint_pk).exists():
            return False
        deliveries = WebhookDelivery.objects.filter(endpoint=endpoint_pk).order_by()
        while pks := list(deliveries.values_list("pk", flat=True)[:BATCH]):
            WebhookDelivery.objects.filter(pk__in=pks).delete()
            if until():
                return True
        WebhookEndpoint.objects.filter(pk=endpoint_pk).delete()
    return False
