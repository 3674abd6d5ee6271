"""Keep the beat entries of materialised features and their definitions in step; editing either updates the other."""

import json
import logging
from datetime import timedelta

from django_celery_beat.models import PeriodicTask

from common.periodic_tasks import interval_of
from features.models import FeatureDefinition

logger = logging.getLogger(__name__)

MATERIALIZE_TASK = "features.tasks.materialize_slot"
_PREFIX = "materialise "


def schedule_feature(row: FeatureDefinition) -> None:
    """Create, update or delete the beat entry of a definition."""
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
    """Copy an operator's edit of a beat entry to its definition."""
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
