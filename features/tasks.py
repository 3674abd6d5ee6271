"""Celery tasks: each takes ids, is idempotent, and leaves the work to the modules it calls."""

from asgiref.sync import async_to_sync
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from features import materialize, processing, registry
from features.events import DEFAULT_QUEUE, STATE_QUEUE, dispatch, dispatch_all, messages_in, queue_of
from features.locks import is_held
from features.models import Event, EventQuerySet, FeatureDefinition, MaterializationRun
from features.models.events import LOOK_AFTER, REDISPATCH_AFTER
from features.repair import repair_online
from features.runs import lock_name, work_off
from features.signals import swept

_BUSY_RETRY_S, _BUSY_RETRY_MAX_S = 0.05, 2.0
_SWEEP_LIMIT = 1000
_WORK_S = 600.0
"""A task works this long at a run, which is well below a task's time limit."""


@shared_task
def process_event(event_pk: int, waited_s: float = 0) -> None:
    """Take an event's turn; one whose document is just being changed waits a little longer each time."""
    try:
        event = processing.take_turn(event_pk)
    except processing.Busy as busy:
        wait_s = min(max(waited_s * 2, _BUSY_RETRY_S), _BUSY_RETRY_MAX_S)
        Event.objects.filter(pk=event_pk).update(dispatched_at=timezone.now())
        dispatch(event_pk, queue_of(busy.event.event_type), wait_s, waited_s=wait_s)
        return
    if event is not None and event.state == Event.State.RETRYING:
        wait_s = (event.next_attempt_at - timezone.now()).total_seconds()
        dispatch(event.pk, queue_of(event.event_type), wait_s)


@shared_task
def materialize_slot(feature: str) -> None:
    """Run the present slot of a feature's schedule, unless another worker has it or is at an earlier one."""
    row = FeatureDefinition.objects.filter(name=feature, is_enabled=True, gone_at=None).first()
    if row is None or not row.refresh or feature not in registry.features:
        return
    run = materialize.open_slot(feature, timezone.now(), row.refresh.total_seconds())
    if run is not None:
        materialize_run(run.pk)


@shared_task
def materialize_run(run_id: int) -> None:
    """Work off a queued run, or go on with one whose worker died; a long one goes on in another task."""
    run = work_off(run_id, work_s=_WORK_S)
    if run is None:
        return
    waiting = MaterializationRun.objects.all().unfinished().filter(feature=run.feature).order_by("id").first()
    if waiting is not None:
        materialize_run.delay(waiting.pk)


@shared_task
def prune_events() -> None:
    """Forget events that were processed longer ago than FABRA_EVENT_RETENTION."""
    Event.objects.prune(timezone.now() - settings.FABRA_EVENT_RETENTION)


def _tell_again(queue: str, events: EventQuerySet) -> None:
    """Tell Celery again of what it seems to have lost; in a long queue events may only be waiting for their turn."""
    waiting = messages_in(queue)
    if waiting >= _SWEEP_LIMIT:
        return
    after = REDISPATCH_AFTER if waiting else LOOK_AFTER
    forgotten = list(events.forgotten(after).order_by("next_attempt_at").only("event_type")[:_SWEEP_LIMIT])
    Event.objects.filter(pk__in=[event.pk for event in forgotten]).update(dispatched_at=timezone.now())
    dispatch_all(forgotten)


@shared_task
def sweep() -> None:
    """Pick up what a crash or an outage left: due events, orphaned runs, values missing online."""
    dispatch_all(processing.release_abandoned())
    _tell_again(STATE_QUEUE, Event.objects.exclude(state_key=""))
    _tell_again(DEFAULT_QUEUE, Event.objects.filter(state_key=""))
    for run_id, feature in MaterializationRun.objects.all().orphaned().values_list("pk", "feature"):
        if not is_held(lock_name(feature)):
            materialize_run.delay(run_id)
    async_to_sync(repair_online)()
    swept.send(sender=None)
