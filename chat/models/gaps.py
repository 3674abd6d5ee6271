"""Gaps: questions that the documents do not answer, in groups of one meaning."""

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from pgvector.django import MaxInnerProduct, VectorField

from chat.models.conversations import Message


class GapQuerySet(models.QuerySet["Gap"]):
    def nearest(self, vector: object, embedding_model: str, least: float) -> "Gap | None":
        """Return the gap whose questions are nearest in meaning: their mean cosine to the vector is at least `least`.

        A centroid is the mean of unit vectors, so its inner product with a unit vector is the mean of their cosines.
        """
        nearness = MaxInnerProduct("centroid", vector)  # pgvector negates it, so that the nearest is the least
        found = self.filter(embedding_model=embedding_model, centroid__isnull=False).annotate(nearness=nearness)
        return found.filter(nearness__lte=-least).order_by("nearness").first()

    def to_ask_again(self) -> Self:
        """Return the gaps whose article is served in a version with which their questions were not asked yet."""
        known = models.Q(asked_version=models.F("document__version_id"))
        served = self.filter(document__deleted_at=None, document__version__isnull=False)
        return served.filter(~known | models.Q(asked_version=None)).exclude(state=Gap.State.OUT_OF_SCOPE)


class Gap(models.Model):
    """A group of questions with one meaning; title, centroid, count and times follow from its questions."""

    class State(models.TextChoices):
        OPEN = "open", "open"
        ARTICLE_WRITTEN = "article_written", "article written"
        LINKED = "linked", "linked to an article"
        ANSWERED = "answered", "now answered"
        OUT_OF_SCOPE = "out_of_scope", "out of scope"

    title = models.TextField(help_text="Its most central question.")
    centroid = VectorField(null=True, editable=False, help_text="The mean of its newest questions' unit vectors.")
    embedding_model = models.CharField(max_length=200, blank=True, editable=False)
    state = models.CharField(max_length=20, choices=State, default=State.OPEN)
    state_changed_at = models.DateTimeField(default=timezone.now)
    decided_by = models.CharField(
        max_length=200, blank=True, help_text="Who wrote or linked an article, or ruled it out."
    )
    document = models.ForeignKey(
        "retrieval.Document",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The article that is to answer it.",
    )
    question_count = models.PositiveIntegerField(default=0)
    first_seen_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now)
    asked_at = models.DateTimeField(null=True, blank=True, help_text="When its questions were asked again.")
    asked_version = models.BigIntegerField(
        null=True, editable=False, help_text="The version of the article with which they were asked."
    )

    objects = GapQuerySet.as_manager()

    class Meta:
        ordering = ("-question_count", "-last_seen_at")
        indexes = [
            # Serves the admin's list, the most frequent first.
            models.Index(fields=["state", "-question_count"], name="gap_by_frequency"),
            # Serves the look for what is to be asked again; contains only gaps with an article.
            models.Index(fields=["document"], name="gap_with_document", condition=models.Q(document__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.title[:100] or f"gap {self.pk}"


class GapQuestion(models.Model):
    """A user's question that was not answered well; it is deleted with its message."""

    class Reason(models.TextChoices):
        NOTHING_FOUND = "nothing_found", "nothing found"
        NOT_KNOWN = "not_known", "not known"
        NOT_SUPPORTED = "not_supported", "not supported"
        ESCALATED = "escalated", "a person was asked for"
        THUMBED_DOWN = "thumbed_down", "thumbs down"

    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="gap_question")
    reasons = ArrayField(models.CharField(max_length=20, choices=Reason))
    gap = models.ForeignKey(Gap, null=True, blank=True, on_delete=models.CASCADE, related_name="questions")
    vector = VectorField(null=True, editable=False, help_text="What it means, with what it refers to.")
    embedding_model = models.CharField(max_length=200, blank=True, editable=False)
    is_follow_up = models.BooleanField(default=False, help_text="It refers to a question before it.")
    asked_at = models.DateTimeField(default=timezone.now)
    after = models.JSONField(null=True, blank=True, help_text="The answer to it when it was asked again.")
    is_answered = models.BooleanField(null=True, help_text="Whether that answers it; empty until it is asked again.")

    class Meta:
        indexes = [
            # Serves the grouping; contains only what is not in a group yet.
            models.Index(fields=["id"], name="gap_question_new", condition=models.Q(gap=None)),
            # Serves a gap's newest questions.
            models.Index(fields=["gap", "-asked_at"], name="gap_question_newest"),
        ]

    def __str__(self) -> str:
        return f"question {self.message_id}"
