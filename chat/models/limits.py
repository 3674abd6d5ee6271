"""What an operator sets as limits, and what is counted while Redis is down."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

MOST_MESSAGES = 1_000_000
"""Redis keeps the time of each message that a limit counts."""


class Reservation(models.Model):
    """A message that was accepted while Redis was down and whose row is not committed yet."""

    user_id = models.CharField(max_length=255)
    token = models.CharField(max_length=32, unique=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["user_id", "created_at"], name="reservation_by_user")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.created_at:%H:%M:%S}"


class CountedRequest(models.Model):
    """A request that counted against the limit of an address or an API key while Redis was down."""

    subject = models.CharField(max_length=100)
    token = models.CharField(max_length=32)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["subject", "created_at"], name="counted_by_subject"),
            models.Index(fields=["token"], name="counted_by_token"),  # serves the refund
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.created_at:%H:%M:%S}"


class ReservedCost(models.Model):
    """What a call of a model may cost at most, reserved while Redis was down."""

    subject = models.CharField(max_length=300)
    token = models.CharField(max_length=32)
    usd = models.DecimalField(max_digits=14, decimal_places=9)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["subject", "created_at"], name="reserved_by_subject"),
            models.Index(fields=["token"], name="reserved_by_token"),  # serves its end
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.usd}"


class LimitSettings(models.Model):
    """One row: how many messages may be sent. Until it is made, the settings say it; an empty limit is none."""

    tier_feature = models.CharField(max_length=200, blank=True, help_text="The feature whose value is a user's tier.")
    window_min = models.PositiveIntegerField(
        "window (min)",
        validators=[MinValueValidator(1), MaxValueValidator(24 * 60)],
        help_text="The minutes in which messages are counted; the window slides.",
    )
    default_messages = models.PositiveIntegerField(
        "messages of everybody else", null=True, blank=True, validators=[MaxValueValidator(MOST_MESSAGES)],
        help_text="For users of no tier, or of one that is not below. Empty: unlimited.",
    )  # fmt: skip
    address_messages = models.PositiveIntegerField(
        "messages from one address", null=True, blank=True, validators=[MaxValueValidator(MOST_MESSAGES)],
        help_text="Whoever sends them without an API key. Empty: unlimited.",
    )  # fmt: skip
    person_messages = models.PositiveIntegerField(
        "messages to a person", null=True, blank=True, default=100, db_default=100,
        validators=[MaxValueValidator(MOST_MESSAGES)],
        help_text="Of one user, beyond what the bot answers: wishes for a person, and what one is told. "
        "Empty: unlimited.",
    )  # fmt: skip
    feedback = models.PositiveIntegerField(
        "changes of feedback", null=True, blank=True, validators=[MaxValueValidator(MOST_MESSAGES)],
        help_text="Of one user; each is an event, and may be sent on by webhooks. Empty: unlimited.",
    )  # fmt: skip

    class Meta:
        verbose_name = verbose_name_plural = "limits"

    def __str__(self) -> str:
        return "Limits"


class TierLimit(models.Model):
    """How many messages the users of a tier may send."""

    settings = models.ForeignKey(LimitSettings, on_delete=models.CASCADE, related_name="tiers")
    tier = models.CharField(max_length=100, help_text="As the feature says it, such as premium.")
    messages = models.PositiveIntegerField(
        null=True, blank=True, validators=[MaxValueValidator(MOST_MESSAGES)], help_text="Empty: unlimited."
    )

    class Meta:
        ordering = ("pk",)
        verbose_name = "limit of a tier"
        verbose_name_plural = "limits of tiers"
        constraints = [models.UniqueConstraint(fields=["settings", "tier"], name="one_limit_of_tier")]

    def __str__(self) -> str:
        return self.tier
