"""Tables of contexts: their definitions, and the traces of what was assembled."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.utils import timezone

from common.models import Definition
from common.sql.words import words_index


class ContextDefinition(Definition):
    """A declared context; `max_tokens_override` is set by the operator and survives a deployment."""

    declared_max_tokens = models.PositiveIntegerField()
    max_tokens_override = models.PositiveIntegerField(
        null=True, blank=True, help_text="Replaces the declared token budget. Empty: as declared."
    )
    model = models.CharField(max_length=200, blank=True)
    overflow = models.CharField(max_length=10)
    freshness_sla = models.DurationField(null=True, blank=True)
    freshness_strict = models.BooleanField(default=False)

    class Meta(Definition.Meta):
        verbose_name = "context definition"

    @property
    def max_tokens(self) -> int:
        return self.max_tokens_override or self.declared_max_tokens


class Trace(models.Model):
    """What one assembly read and decided; the body is in a table of its own, so that lists stay fast."""

    class State(models.TextChoices):
        ASSEMBLED = "assembled"
        ANSWERED = "answered"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    context = models.CharField(max_length=200)
    user_id = models.CharField(max_length=255, blank=True)
    query = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.ASSEMBLED)
    max_tokens = models.PositiveIntegerField()
    tokens = models.PositiveIntegerField()
    kept = models.PositiveIntegerField()
    dropped = models.PositiveIntegerField()
    duration_ms = models.FloatField()
    flags = models.JSONField(default=list, blank=True)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the body's canonical JSON.")
    version_ids = ArrayField(
        models.BigIntegerField(), default=list, editable=False, help_text="The document versions in its search results."
    )
    created_at = models.DateTimeField(default=timezone.now)

    answer = models.TextField(blank=True)
    model = models.CharField(max_length=200, blank=True)
    outcome = models.JSONField(null=True, blank=True, help_text="Usage, cost, latency, attempts and error.")
    error_code = models.CharField(max_length=50, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # Serves the admin's list, newest first.
            models.Index(fields=["-created_at"], name="trace_newest"),
            # Serves the traces of one user.
            models.Index(fields=["user_id", "-created_at"], name="trace_by_user"),
            # Serve the filters for what is rare. That for states costs 0.9 KB of WAL a trace (3.0, not 2.1 KB), since
            # an outcome is not written in place (HOT) then. A BRIN on `state` lets it be, but widens where the space of
            # pruned traces is used again: of 40,000 traces, half of them replaced three times, it read 56 % of the
            # pages for 139 failed ones, and all for those without an outcome. This reads no more pages than rows.
            models.Index(
                fields=["state", "-created_at"], name="trace_unanswered", condition=~models.Q(state="answered")
            ),
            models.Index(fields=["-created_at"], name="trace_flagged", condition=~models.Q(flags=[])),
            models.Index(fields=["context", "-created_at"], name="trace_by_context"),
            # Serves the admin's search for words of the question.
            words_index("query", "trace_by_words"),
            # Serves the traces that used a document version; a write only appends to the index's pending list.
            GinIndex(fields=["version_ids"], name="trace_by_version"),
        ]

    def __str__(self) -> str:
        return f"{self.context} {self.pk}"


class TraceBody(models.Model):
    """The evidence as canonical JSON text, byte for byte the text that the digest was computed from."""

    trace = models.OneToOneField(Trace, primary_key=True, on_delete=models.CASCADE, related_name="body")
    text = models.TextField()

    class Meta:
        verbose_name_plural = "trace bodies"

    def __str__(self) -> str:
        return str(self.trace_id)


class ErasedTrace(models.Model):
    """The id of a trace that was erased, until its copy in Redis is gone for certain."""

    id = models.UUIDField(primary_key=True, editable=False)
    erased_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return str(self.pk)
