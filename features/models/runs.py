"""The table of materialisation runs: one row for each slot of a feature's schedule, and for each requested run."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.utils import timezone

from common.clocks import is_past

ORPHANED_AFTER = timedelta(seconds=20)
"""An unfinished run whose heartbeat is older than this may have lost its worker."""


class MaterializationRunQuerySet(models.QuerySet["MaterializationRun"]):
    def unfinished(self) -> Self:
        return self.filter(state__in=[MaterializationRun.State.QUEUED, MaterializationRun.State.RUNNING])

    def orphaned(self, now: datetime | None = None) -> Self:
        """Return unfinished runs without a recent heartbeat: never started, or their worker died."""
        return self.unfinished().filter(is_past("heartbeat_at", since=ORPHANED_AFTER, now=now))

    def claim(self, run_id: int) -> "MaterializationRun | None":
        """Claim an unfinished run for the holder of its feature's lock; writes of an earlier worker then fail."""
        now = timezone.now()
        self.unfinished().filter(id=run_id).update(
            state=MaterializationRun.State.RUNNING,
            claims=models.F("claims") + 1,
            heartbeat_at=now,
            started_at=models.functions.Coalesce("started_at", now),
        )
        return self.filter(id=run_id, state=MaterializationRun.State.RUNNING).first()

    def resume(self) -> int:
        """Put stopped and failed runs back into the queue, to continue from their cursor; return how many."""
        ended = [MaterializationRun.State.STOPPED, MaterializationRun.State.FAILED]
        return self.filter(state__in=ended).update(
            state=MaterializationRun.State.QUEUED, finished_at=None, heartbeat_at=timezone.now()
        )

    def stop(self) -> int:
        """Stop runs after their current chunk; return how many. Each can be resumed."""
        now = timezone.now()
        return self.unfinished().update(state=MaterializationRun.State.STOPPED, finished_at=now, heartbeat_at=now)


class MaterializationRun(models.Model):
    """One materialisation of a feature; `step` and `cursor` are where another worker continues it."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        STOPPED = "stopped"

    class Kind(models.TextChoices):
        COMPUTE = "compute", "compute"
        BACKFILL = "backfill", "backfill"
        LOAD = "load", "load a range online"

    feature = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.COMPUTE)
    slot = models.DateTimeField(null=True, blank=True, help_text="The beat slot; empty for a manual run.")
    start = models.DateTimeField(null=True, blank=True, help_text="The start of the range of a backfill or load.")
    end = models.DateTimeField(null=True, blank=True, help_text="The end of the range, inclusive.")
    every = models.DurationField(null=True, blank=True, help_text="The interval between the moments of a backfill.")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    entity_keys = models.JSONField(
        null=True, blank=True, help_text="The requested entity keys; empty for all known entities."
    )
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    defaulted = models.PositiveIntegerField(
        default=0, help_text="Of those done, the keys for which a batch function returned no value."
    )
    unchanged = models.PositiveIntegerField(
        default=0, help_text="Of those done, the values that were the same as before, and were not written again."
    )
    step = models.PositiveIntegerField(default=0, help_text="The number of completed moments of a backfill.")
    cursor = models.CharField(max_length=255, blank=True, help_text="The last entity key that was completed.")
    claims = models.PositiveIntegerField(
        default=0, help_text="How often a worker claimed it; only the last claim is valid."
    )
    errors = models.JSONField(default=list, blank=True, help_text="The first few errors, with their entity keys.")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = MaterializationRunQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = "materialisation run"
        constraints = [
            # Two schedulers, or a late worker, never execute a slot twice.
            models.UniqueConstraint(fields=["feature", "slot"], name="run_once_per_slot")
        ]
        indexes = [
            # Serves the sweep for runs whose worker died.
            models.Index(
                fields=["heartbeat_at"], name="run_unfinished", condition=models.Q(state__in=["queued", "running"])
            )
        ]

    def __str__(self) -> str:
        return f"{self.feature} #{self.pk}"

    @property
    def worked(self) -> int:
        return self.done + self.failed

    @property
    def is_finished(self) -> bool:
        return self.state in (self.State.DONE, self.State.FAILED, self.State.STOPPED)

    @property
    def moments(self) -> list[datetime]:
        """The moments of a backfill: from `start` to `end`, both included, in steps of `every`."""
        if self.start is None or self.end is None or not self.every:
            return []
        return [self.start + number * self.every for number in range((self.end - self.start) // self.every + 1)]
