"""Entries of Celery beat that the code creates."""

from datetime import timedelta

from django_celery_beat.models import IntervalSchedule, PeriodicTask


def interval_of(duration: timedelta) -> IntervalSchedule:
    seconds = max(1, round(duration.total_seconds()))
    schedule, _ = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
    return schedule


def keep_entry(name: str, task: str, every: timedelta) -> None:
    """Create a periodic task's entry if there is none; an operator's changes to it stay.

    A run that is more than two intervals late is dropped.
    """
    PeriodicTask.objects.get_or_create(
        name=name,
        defaults={"task": task, "interval": interval_of(every), "expire_seconds": 2 * every.total_seconds()},
    )
