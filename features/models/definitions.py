"""The tables that mirror declared entities and features, with an operator's changes."""

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import models

from common.durations import format_duration
from common.models import Definition

REQUEST = "request"
"""The source of on-demand features: they are computed from the request's data and other features at each read."""


class EntityDefinition(Definition):
    is_enabled = None  # type: ignore[assignment]  # only features can be switched off
    key = models.CharField(max_length=100)

    class Meta(Definition.Meta):
        verbose_name = "entity"
        verbose_name_plural = "entities"


class FeatureDefinition(Definition):
    """The declared feature; `refresh_override` is the operator's and survives a deploy."""

    entity = models.CharField(max_length=200)
    declared_refresh = models.DurationField(null=True, blank=True)
    refresh_override = models.DurationField(
        null=True, blank=True, help_text="Replaces the declared refresh, as in 00:05:00. Empty: as declared."
    )
    is_scheduled = models.BooleanField(
        "on schedule",
        default=True,
        help_text="Whether Celery beat materialises it; values are computed on demand either way.",
    )
    ttl = models.DurationField(null=True, blank=True)
    stale_tolerance = models.DurationField(default=timedelta(0))
    materialize = models.BooleanField(default=False)
    trigger = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=20, blank=True, help_text="What brings its values, if no function does.")
    default_value = models.JSONField(null=True, blank=True)
    batch_size = models.PositiveIntegerField(
        null=True, blank=True, help_text="The maximum number of keys in one call; empty for a function of one key."
    )
    concurrency = models.PositiveIntegerField(
        default=1, help_text="The number of concurrent calls during materialisation."
    )
    takes_as_of = models.BooleanField(
        "can be backfilled", default=False, help_text="Whether its function takes `as_of`, a past moment."
    )

    class Meta(Definition.Meta):
        verbose_name = "feature"

    @property
    def refresh(self) -> timedelta | None:
        return self.refresh_override or self.declared_refresh

    @property
    def mode(self) -> str:
        """How values are computed, in a few words."""
        if self.trigger:
            return f"on event {self.trigger}"
        if self.source == REQUEST:
            return "on demand, at each read"
        if self.source:
            return f"from the user's {self.source}"
        every = format_duration(self.refresh) if self.refresh else None
        batches = f", {self.batch_size:,} at once" if self.batch_size else ""
        if self.materialize:
            return f"materialised every {every}{batches}"
        return (f"on demand, fresh for {every}" if every else "on demand") + batches

    def clean(self) -> None:
        if self.refresh_override is not None:
            if self.source == REQUEST:
                raise ValidationError({"refresh_override": "It is computed at each read; it has no refresh."})
            if self.source:
                raise ValidationError({"refresh_override": "Its source updates this feature; it has no refresh."})
            if self.trigger:
                raise ValidationError({"refresh_override": "Events update this feature; it has no refresh."})
            if self.refresh_override < timedelta(seconds=1):
                raise ValidationError({"refresh_override": "A refresh must be at least one second."})
