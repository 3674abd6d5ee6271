"""What limits count while Redis is down."""

from django.db import models
from django.utils import timezone


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
