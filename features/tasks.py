"""Celery tasks: each takes ids, is idempotent, and leaves the work to the modules it calls."""

from asgiref.sync import async_to_sync
from celery import shared_task
from django.utils import timezone

from features import materialize, processing, registry
from features.events import dispatch
from features.models import Event, FeatureDefinition, MaterializationRun
from features.repair import repair_online
from features.runs import work_off

_BUSY_RETRY_S = 0.2
_SWEEP_LIMIT = 1000
_WORK_S = 600.0
"""A task works this long at a run, which is well below a task's time limit."""


@shared_task
def process_event(event_pk: int) -> None:
    try:
        event = processing.process(event_pk)
    except processing.Busy:
        dispatch(event_pk, countdown_s=_BUSY_RETRY_S)
        return
    if event is not None and event.state == Event.State.RETRYING:
        dispatch(event_pk, countdown_s=(event.next_attempt_at - timezone.now()).total_seconds())


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
def sweep() -> None:
    """Pick up what a crash or an outage left: due events, orphaned runs, values missing online."""
    for pk in processing.release_abandoned():
        dispatch(pk)
    forgotten = list(Event.objects.forgotten().order_by("next_attempt_at").values_list("pk", flat=True)[:_SWEEP_LIMIT])
    Event.objects.filter(pk__in=forgotten).update(dispatched_at=timezone.now())
    for pk in forgotten:
        dispatch(pk)
    for run_id in MaterializationRun.objects.all().orphaned().values_list("pk", flat=True):
        materialize_run.delay(run_id)
    async_to_sync(repair_online)()
