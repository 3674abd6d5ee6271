"""The tables of golden questions and of their evaluation runs."""

import hashlib
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from common.validation import to_json


class GoldenQuestionQuerySet(models.QuerySet["GoldenQuestion"]):
    def enabled_in(self, index_name: str, tag: str = "") -> Self:
        rows = self.filter(index__name=index_name, is_enabled=True).order_by("pk")
        return rows.filter(tags__contains=[tag]) if tag else rows


class GoldenQuestion(models.Model):
    """A question with the documents or the text that a search must find."""

    index = models.ForeignKey("retrieval.Index", on_delete=models.CASCADE, related_name="golden_questions")
    question = models.TextField()
    history = ArrayField(
        models.TextField(),
        default=list,
        blank=True,
        help_text="What was asked before it in the conversation, the oldest first; empty for a first question.",
    )
    expected_documents = ArrayField(
        models.CharField(max_length=255), default=list, blank=True, help_text="The ids of the documents that answer it."
    )
    expected_text = models.TextField(
        blank=True, help_text="A passage that a correct hit contains; case and white space are ignored."
    )
    filters = models.JSONField(default=dict, blank=True)
    audience = ArrayField(
        models.CharField(),
        default=list,
        blank=True,
        help_text="The audiences of the person who asks; empty for documents for everyone.",
    )
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    is_enabled = models.BooleanField("enabled", default=True)
    digest = models.CharField(max_length=64, editable=False, help_text="SHA-256 of what is asked, and how.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = GoldenQuestionQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        constraints = [models.UniqueConstraint(fields=["index", "digest"], name="golden_question_once_per_index")]

    def __str__(self) -> str:
        return self.question[:100]

    def save(self, *args: Any, **options: Any) -> None:
        self.digest = question_digest(self.question, self.filters, self.audience, self.history)
        super().save(*args, **options)


def question_digest(
    question: str, filters: dict[str, Any], audience: list[str], history: list[str] | None = None
) -> str:
    """Return the SHA-256 by which two questions of an index are compared."""
    asked = [question, filters, sorted(audience), *([history] if history else [])]
    return hashlib.sha256(to_json(asked, "question").encode()).hexdigest()


class EvaluationRun(models.Model):
    """One pass over an index's golden questions; `config` is the index's configuration at that time."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    index = models.ForeignKey("retrieval.Index", on_delete=models.CASCADE, related_name="evaluation_runs")
    mode = models.CharField(max_length=20)
    tag = models.CharField(
        max_length=100, blank=True, help_text="Only questions with this tag; empty for all questions."
    )
    started_by = models.CharField(max_length=200, help_text="The user or process that started it.")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    metrics = models.JSONField(default=dict, blank=True)
    config = models.JSONField(default=dict, blank=True)
    flags = models.JSONField(default=dict, blank=True, help_text="The number of searches with each degradation flag.")
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-pk",)
        indexes = [
            # Serves the runs of an index over time, and the list of one mode.
            models.Index(fields=["index", "mode", "-id"], name="evaluation_run_of_index")
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"


class EvaluationOutcome(models.Model):
    """The result of one golden question in one run; it is kept when the question is deleted."""

    run = models.ForeignKey(EvaluationRun, on_delete=models.CASCADE, related_name="outcomes")
    golden_question = models.ForeignKey(GoldenQuestion, null=True, on_delete=models.SET_NULL, related_name="outcomes")
    digest = models.CharField(max_length=64)
    question = models.TextField()
    expected = models.TextField(help_text="The expected hit, as a description.")
    rank = models.PositiveIntegerField(
        null=True, blank=True, help_text="The rank of the first correct hit; empty if there was none."
    )
    metrics = models.JSONField(default=dict)
    found = models.JSONField(default=list, help_text="The first hits.")
    error = models.TextField(blank=True, help_text="Why the search was refused.")

    class Meta:
        ordering = ("pk",)
        constraints = [
            # A task that is delivered twice evaluates each question once.
            models.UniqueConstraint(fields=["run", "digest"], name="outcome_once_per_run")
        ]

    def __str__(self) -> str:
        return self.question[:100]
