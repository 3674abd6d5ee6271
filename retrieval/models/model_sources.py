"""The tables of model sources: what is declared, how far it was compared, and what each object last said."""

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from common.models import Definition


class ModelSourceQuerySet(models.QuerySet["ModelSource"]):
    def active(self) -> Self:
        return self.filter(is_enabled=True, gone_at=None)

    def enabled(self) -> Self:
        """Return those that are not switched off; whoever declares one need not ask whether its code is gone.

        A `migrate` in a terminal that lacks the app says so of a source that the workers have.
        """
        return self.filter(is_enabled=True)

    def requested(self) -> Self:
        """Return those of which a comparison was asked for, since the last one began."""
        return self.filter(Q(requested_at__gt=F("started_at")) | Q(started_at=None))


class ModelSource(Definition):
    """A declared source, and its comparison with its documents: the one that runs, or else the last one."""

    class Phase(models.TextChoices):
        IDLE = "", "done"
        COMPARE = "compare", "comparing"
        WITHDRAW = "withdraw", "withdrawing"
        ORPHANS = "orphans", "withdrawing"

    model = models.CharField(max_length=200)
    index = models.CharField(max_length=200)
    format = models.CharField(max_length=20)
    phase = models.CharField(max_length=10, choices=Phase, default=Phase.IDLE, blank=True)
    cursor = models.TextField(blank=True, help_text="The key of the last row that it compared.")
    requested_at = models.DateTimeField(null=True, blank=True, help_text="When a change asked for a comparison.")
    started_at = models.DateTimeField(null=True, blank=True)
    worked_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    total = models.PositiveIntegerField(default=0, help_text="The number of objects when it began.")
    compared = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0, help_text="Objects whose documents were missing or different.")
    withdrawn = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True, help_text="Why it stopped.")
    warning = models.TextField(blank=True, help_text="What makes it slow.")

    objects = ModelSourceQuerySet.as_manager()

    class Meta(Definition.Meta):
        verbose_name = "model source"

    @property
    def is_running(self) -> bool:
        return self.phase != self.Phase.IDLE


class SourcedObject(models.Model):
    """An object that is a document, or was to be one; `digest` is what it last said."""

    source = models.ForeignKey(ModelSource, on_delete=models.CASCADE, related_name="sourced")
    object_pk = models.TextField()
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of what its source said.")
    content_hash = models.CharField(
        max_length=64, blank=True, help_text="The content hash of the version made of that; empty if there is none."
    )
    error = models.TextField(blank=True)
    warnings = models.JSONField(default=list, blank=True, help_text="What reading its page left out or guessed.")
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "object_pk"], name="object_once_per_source")]
        indexes = [
            # Serves the search for what is gone, in pages.
            models.Index(fields=["source", "id"], name="sourced_in_pages"),
            # Serves the list of errors, and stays small.
            models.Index(fields=["source"], name="sourced_with_error", condition=~Q(error="")),
        ]

    def __str__(self) -> str:
        return f"{self.source.model}:{self.object_pk}"
