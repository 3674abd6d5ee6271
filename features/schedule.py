"""Beat entries of materialised features, derived from their definitions; editing either changes both."""

import json
import logging
from datetime import timedelta

from django_celery_beat.models import IntervalSchedule, PeriodicTask

from features.models import FeatureDefinition

logger = logging.getLogger(__name__)

MATERIALIZE_TASK = "features.tasks.materialize_slot"
SWEEP_TASK = "features.tasks.sweep"
PRUNE_TASK = "features.tasks.prune_events"
_SWEEP_EVERY_S = 5
_PREFIX = "materialise "


def interval_of(duration: timedelta) -> IntervalSchedule:
    seconds = max(1, round(duration.total_seconds()))
    schedule, _ = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
    return schedule


def schedule_upkeep() -> None:
    """Keep the entries that pick up what a crash left, and that forget what is long done."""
    keep_entry("sweep the outbox", SWEEP_TASK, timedelta(seconds=_SWEEP_EVERY_S))
    keep_entry("prune the outbox", PRUNE_TASK, timedelta(hours=1))


def keep_entry(name: str, task: str, every: timedelta) -> None:
    """Make the entry of a chore if there is none; an operator's change of it stays. A late one is dropped."""
    PeriodicTask.objects.get_or_create(
        name=name,
        defaults={"task": task, "interval": interval_of(every), "expire_seconds": 2 * every.total_seconds()},
    )


def schedule_feature(row: FeatureDefinition) -> None:
    """Make the beat entry say what the definition says."""
    name = _PREFIX + row.name
    if not row.materialize or row.refresh is None:
        PeriodicTask.objects.filter(name=name).delete()
        return
    wanted = {
        "task": MATERIALIZE_TASK,
        "args": json.dumps([row.name]),
        "interval": interval_of(row.refresh),
        "crontab": None,
        "enabled": row.is_enabled and row.is_scheduled and row.gone_at is None,
    }
    entry = PeriodicTask.objects.filter(name=name).first() or PeriodicTask(name=name)
    if entry.pk is None or any(getattr(entry, field) != value for field, value in wanted.items()):
        for field, value in wanted.items():
            setattr(entry, field, value)
        entry.save()


def adopt_entry(entry: PeriodicTask) -> None:
    """Carry an operator's edit of a beat entry over to its definition."""
    row = FeatureDefinition.objects.filter(name=entry.name.removeprefix(_PREFIX)).first()
    if row is None:
        return
    if entry.interval is None:
        logger.warning("%s runs on an interval only; its schedule was put back.", entry.name)
        schedule_feature(row)
        return
    every = timedelta(**{entry.interval.period: entry.interval.every})
    override = None if every == row.declared_refresh else every
    may_run = row.is_enabled and row.gone_at is None
    is_scheduled = entry.enabled if may_run else row.is_scheduled
    if (override, is_scheduled) != (row.refresh_override, row.is_scheduled):
        row.refresh_override, row.is_scheduled = override, is_scheduled
        row.save(update_fields=["refresh_override", "is_scheduled"])
