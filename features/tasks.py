"""Celery tasks of the feature store."""

import time

from asgiref.sync import async_to_sync
from django.utils import timezone

from common.bot_task import bot_task
from common.locks import is_held
from features import registry
from features.dispatch import enqueue_run
from features.materialization.requests import open_slot
from features.materialization.runs import execute_run, lock_name
from features.models import FeatureDefinition, MaterializationRun
from features.online_repair import repair_online

_SLICE_S = 15.0
"""How long one task executes a run. The rest is another task, behind those that came meanwhile."""
_REPAIR_S = 10.0


@bot_task
def materialize_slot(feature: str) -> None:
    """Execute the current slot of a feature's schedule, unless it was created already or an earlier one is running."""
    row = FeatureDefinition.objects.filter(name=feature, is_enabled=True, gone_at=None).first()
    if row is None or not row.refresh or feature not in registry.features:
        return
    run = open_slot(feature, timezone.now(), row.refresh.total_seconds())
    if run is not None:
        materialize_run(run.pk)


@bot_task
def materialize_run(run_id: int) -> None:
    """Execute a queued run, or continue one whose worker died; a long run continues in another task."""
    give_up_at = time.monotonic() + _SLICE_S
    run = execute_run(run_id, until=lambda: time.monotonic() > give_up_at)
    if run is None:
        return
    waiting = MaterializationRun.objects.all().unfinished().filter(feature=run.feature).order_by("id").first()
    if waiting is not None:
        enqueue_run(waiting.pk)


@bot_task
def upkeep() -> None:
    """Repair after a crash or an outage: enqueue runs whose worker died, and write values that are missing online."""
    for run_id, feature in MaterializationRun.objects.all().orphaned().values_list("pk", "feature"):
        if not is_held(lock_name(feature)):
            enqueue_run(run_id)
    give_up_at = time.monotonic() + _REPAIR_S
    async_to_sync(repair_online)(until=lambda: time.monotonic() > give_up_at)
