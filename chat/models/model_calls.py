"""Calls of language models, with what they cost."""

from django.db import models
from django.utils import timezone

from chat.models.keys import ApiKey


class Purpose(models.TextChoices):
    """What a call of a model is for."""

    ANSWER = "answer"
    REWRITE = "rewrite", "rewriting"
    SUMMARY = "summary"
    GAP = "gap", "gap question"
    CHECK = "check"


class CostKind(models.TextChoices):
    """How well a cost is known."""

    EXACT = "exact"
    """The server counted the tokens, and the price is the operator's, or the server's vendor's."""
    ESTIMATED = "estimated"
    """The tokens were counted here, or the price is that of a model of the same name elsewhere."""
    UNKNOWN = "unknown"
    """The model has no known price."""


def _key() -> models.ForeignKey[ApiKey | None, ApiKey | None]:
    """Return the column of a key, without a constraint: its check would lock the key's row for each answer."""
    return models.ForeignKey(
        ApiKey, null=True, blank=True, on_delete=models.SET_NULL, db_index=False, db_constraint=False, related_name="+"
    )


class ModelCall(models.Model):
    """A call of a language model that gave text, or was billed without; it outlives its message and its trace."""

    created_at = models.DateTimeField(default=timezone.now)
    purpose = models.CharField(max_length=20, choices=Purpose)
    provider = models.CharField(max_length=50)
    model = models.CharField(max_length=200)
    context = models.CharField(max_length=200, blank=True)
    user_id = models.CharField(max_length=255, blank=True)
    tier = models.CharField(max_length=50, blank=True)
    key = _key()
    trace_id = models.UUIDField(null=True, blank=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cost_usd = models.DecimalField("cost", max_digits=14, decimal_places=9, null=True, blank=True)
    kind = models.CharField(max_length=10, choices=CostKind)

    class Meta:
        indexes = [
            # Sums of the days that are not in SpendingDay yet, and deleting what is old.
            models.Index(fields=["created_at"], name="modelcall_by_time"),
            # The budgets of one user and of one key.
            models.Index(fields=["user_id", "created_at"], include=["cost_usd"], name="modelcall_by_user"),
            models.Index(
                fields=["key", "created_at"],
                include=["cost_usd"],
                name="modelcall_by_key",
                condition=models.Q(key__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model}, {self.purpose}"


class SpendingDay(models.Model):
    """What the calls of a day that is over cost together: a million calls are some hundred rows."""

    day = models.DateField()
    purpose = models.CharField(max_length=20, choices=Purpose)
    provider = models.CharField(max_length=50)
    model = models.CharField(max_length=200)
    context = models.CharField(max_length=200, blank=True)
    tier = models.CharField(max_length=50, blank=True)
    key = _key()
    kind = models.CharField(max_length=10, choices=CostKind)
    calls = models.PositiveIntegerField()
    prompt_tokens = models.PositiveBigIntegerField()
    completion_tokens = models.PositiveBigIntegerField()
    cost_usd = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["day"], name="spending_by_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.model}, {self.purpose}"
