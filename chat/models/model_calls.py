"""What language models are asked for."""

from django.db import models


class Purpose(models.TextChoices):
    """What a call of a model is for."""

    ANSWER = "answer"
    REWRITE = "rewrite", "rewriting"
    SUMMARY = "summary"
    GAP = "gap", "gap question"
    EVALUATION = "evaluation"
    CHECK = "check"
