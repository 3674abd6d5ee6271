"""The table of calibrations: how well an index's scores tell what it can answer from what it cannot."""

from typing import Any

from django.db import models
from django.db.models.functions import Now


class CalibrationRun(models.Model):
    """The best scores of questions that an index can answer, and of some that it cannot, and the threshold chosen."""

    class Rule(models.TextChoices):
        REFUSALS = "refusals", "few answerable questions refused"
        YOUDEN = "youden", "greatest difference of the two shares refused (Youden's J)"

    index = models.ForeignKey("retrieval.Index", on_delete=models.CASCADE, related_name="calibration_runs")
    started_by = models.CharField(max_length=200, help_text="The user or process that started it.")
    rule = models.CharField(max_length=10, choices=Rule)
    most_refused = models.FloatField(
        null=True, help_text="The greatest share of answerable questions that may be refused; empty for another rule."
    )
    sources = models.JSONField(default=list, help_text="Where the unanswerable questions are from.")
    auc = models.FloatField(
        "AUC", help_text="How often an answerable question has a better score than an unanswerable one; ties are half."
    )
    threshold = models.FloatField(null=True, help_text="Empty if no threshold refuses an unanswerable question.")
    refused_answerable = models.FloatField(default=0.0, help_text="The share below the threshold.")
    refused_unanswerable = models.FloatField(default=0.0, help_text="The share below the threshold.")
    answerable_count = models.PositiveIntegerField()
    unanswerable_count = models.PositiveIntegerField()
    answerable = models.JSONField(default=list, help_text="Each question with its best score and the document found.")
    unanswerable = models.JSONField(default=list, help_text="Each question with its best score and the document found.")
    basis = models.JSONField(default=dict, help_text="What the scores depend on: the model and the fusion.")
    config = models.JSONField(default=dict, help_text="The index's version and generation at that time.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-pk",)
        indexes = [
            # Serves the runs of an index, newest first.
            models.Index(fields=["index", "-id"], name="calibration_of_index")
        ]

    def __str__(self) -> str:
        return f"calibration {self.pk}"

    def scores(self) -> tuple[list[float], list[float]]:
        """Return the best scores of the answerable and of the unanswerable questions."""
        return _scores(self.answerable), _scores(self.unanswerable)


def _scores(questions: list[dict[str, Any]]) -> list[float]:
    return [question["score"] for question in questions]
