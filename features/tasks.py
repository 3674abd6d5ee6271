"""Celery tasks of the feature store."""

from asgiref.sync import async_to_sync
from celery import shared_task
from django.utils import timezone

from common.locks import is_held
from features import registry
from features.dispatch import enqueue_run
from features.materialization.requests import open_slot
from features.materialization.runs import lock_name, work_off
from features.models import FeatureDefinition, MaterializationRun
from features.online_repair import repair_online

_WORK_S = 600.0
"""A task works this long at a run, which is well below a task's time limit."""


@shared_task
def materialize_slot(feature: str) -> None:
    """Run the present slot of a feature's schedule, unless another worker has it or is at an earlier one."""
    row = FeatureDefinition.objects.filter(name=feature, is_enabled=True, gone_at=None).first()
    if row is None or not row.refresh or feature not in registry.features:
        return
    run = open_slot(feature, timezone.now(), row.refresh.total_seconds())
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
        enqueue_run(waiting.pk)


@shared_task
def upkeep() -> None:
    """Pick up what a crash or an outage left: runs whose worker died, values that are missing online."""
    for run_id, feature in MaterializationRun.objects.all().orphaned().values_list("pk", "feature"):
        if not is_held(lock_name(feature)):
            enqueue_run(run_id)
    async_to_sync(repair_online)()
