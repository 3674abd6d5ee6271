"""The tables of what the removal of old rows has done, and where it goes on."""

from typing import Any

from django.db import models
from django.utils import timezone


class Pruning(models.Model):
    """The round that is on; one row."""

    round = models.PositiveIntegerField(default=1, help_text="In each round all kinds of rows are gone through once.")
    turn = models.PositiveBigIntegerField(
        default=0, help_text="The number of the task that goes on; tasks with another one are superfluous."
    )
    ended_at = models.DateTimeField(null=True, help_text="When the last round ended.")

    def __str__(self) -> str:
        return f"round {self.round}"

    @classmethod
    def current(cls) -> "Pruning":
        return cls.objects.get_or_create(pk=1)[0]

    def next_turn(self) -> int:
        """Have another task go on, whose number is returned."""
        self.turn += 1
        self.save(update_fields=["turn"])
        return self.turn


class PrunedKind(models.Model):
    """How far one kind of rows is gone through. What is counted is of the round that is on, or of the last one."""

    name = models.CharField(max_length=100, primary_key=True)
    round = models.PositiveIntegerField(default=0, help_text="The last round in which it was gone through.")
    turns = models.PositiveIntegerField(default=0)
    cursor = models.JSONField(null=True, help_text="The last row that was looked at; empty: it begins anew.")
    seen = models.PositiveBigIntegerField(default=0, help_text="Old rows that were looked at.")
    removed = models.PositiveBigIntegerField(default=0)
    last_removed = models.PositiveBigIntegerField(default=0, help_text="In the last complete pass.")
    ended_at = models.DateTimeField(null=True, help_text="When it was last gone through to its end.")
    failures = models.PositiveIntegerField(default=0, help_text="Rows that could not be removed, in this pass.")
    error = models.CharField(max_length=500, blank=True, help_text="Why not.")
    failed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name

    def looked_at(self, rows: int, removed: int, cursor: Any) -> None:
        """Store how far it is, in the transaction that has removed the rows."""
        self.seen, self.removed, self.cursor = self.seen + rows, self.removed + removed, cursor
        self.save(update_fields=["seen", "removed", "cursor"])

    def failed(self, error: Exception) -> None:
        self.failures += 1
        self.error, self.failed_at = f"{type(error).__name__}: {error}"[:500], timezone.now()
        self.save(update_fields=["failures", "error", "failed_at"])

    def ended(self) -> None:
        """Begin anew with the next pass; what failed in this one stays visible until one succeeds."""
        if not self.failures:
            self.error, self.failed_at = "", None
        self.last_removed, self.ended_at, self.cursor = self.removed, timezone.now(), None
        self.seen = self.removed = self.failures = 0
        self.save()
