"""Materialisation runs: one row for each slot of a feature's schedule, or each manual run."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.utils import timezone

ORPHANED_AFTER = timedelta(seconds=60)
"""A running run whose heartbeat is older than this has lost its worker."""


class MaterializationRunQuerySet(models.QuerySet["MaterializationRun"]):
    def orphaned(self, now: datetime | None = None) -> Self:
        """Unfinished runs that no worker is at: never started, or silent since too long."""
        return self.filter(
            state__in=[MaterializationRun.State.QUEUED, MaterializationRun.State.RUNNING],
            heartbeat_at__lt=(now or timezone.now()) - ORPHANED_AFTER,
        )

    def claim(self, run_id: int) -> bool:
        """Take a queued or orphaned run; False if another worker has it."""
        now = timezone.now()
        free = models.Q(state=MaterializationRun.State.QUEUED) | models.Q(
            state=MaterializationRun.State.RUNNING, heartbeat_at__lt=now - ORPHANED_AFTER
        )
        return bool(
            self.filter(free, id=run_id).update(
                state=MaterializationRun.State.RUNNING,
                heartbeat_at=now,
                started_at=models.functions.Coalesce("started_at", now),
            )
        )


class MaterializationRun(models.Model):
    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    feature = models.CharField(max_length=200)
    slot = models.DateTimeField(null=True, blank=True, help_text="The beat slot; empty for a manual run.")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    entity_keys = models.JSONField(null=True, blank=True, help_text="The entities asked for; empty for all known.")
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    cursor = models.CharField(max_length=255, blank=True, help_text="The last entity key that was finished.")
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
            # Two schedulers or a late worker never do a slot twice.
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
