"""Deliveries of events to webhook endpoints, and the attempts of each."""

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from common.clocks import is_ahead, is_reached
from common.retention.clock import earlier_now, lost_time
from events.models.endpoints import RETRY_AFTER_MAX_S, WebhookEndpoint
from events.models.events import Event, jitter

_BACKOFF_S, _BACKOFF_FACTOR, _BACKOFF_MAX_S = 10.0, 3, 4 * 3600.0
"""The waits are 10 s, 30 s, 90 s … 2 h, then 4 h each: twelve attempts or so in a day."""


LONGEST_WAIT = timedelta(seconds=2 * _BACKOFF_MAX_S)
_USUAL_PAUSE = timedelta(minutes=10)
"""Between two sweeps, where all workers are busy."""


def given_up_from_now() -> datetime:
    return timezone.now() + settings.FABRA_WEBHOOK_GIVE_UP


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def waiting(self) -> Self:
        return self.filter(state__in=WebhookDelivery.WAITING)

    def due(self, now: datetime | None = None) -> Self:
        """Return the deliveries to attempt now, in the order to do so."""
        # One that is new has nothing to wait for, and a clock that was ahead has nobody wait.
        is_new = models.Q(state=WebhookDelivery.State.PENDING)
        failed_ahead = WebhookAttempt.objects.filter(is_ahead("attempted_at", now=now), delivery=models.OuterRef("pk"))
        reached = is_reached("next_attempt_at", longest=LONGEST_WAIT, now=now)
        found = self.waiting().filter(is_new | reached | models.Exists(failed_ahead))
        return found.order_by("next_attempt_at", "id")

    def give_up(self, error: str) -> int:
        """End the deliveries that wait; return how many did."""
        return self.waiting().update(state=WebhookDelivery.State.GIVEN_UP, error=error, finished_at=timezone.now())

    def expire(self) -> int:
        """Give up what could not be delivered in FABRA_WEBHOOK_GIVE_UP, as with an endpoint that is disabled.

        The sweep calls it every few seconds. A time in which it was not called, since no worker ran or the clock was
        set forward, is none in which anything could be delivered, and does not count.
        """
        now = earlier_now()
        with transaction.atomic():  # another sweep waits for it
            if lost := lost_time("webhooks", now, usual=_USUAL_PAUSE):
                waited = self.waiting().filter(give_up_at__gt=now - lost - _USUAL_PAUSE)
                waited.update(give_up_at=models.F("give_up_at") + lost)
        return self.filter(give_up_at__lte=now).give_up("expired")

    def send_again(self) -> int:
        """Put deliveries back, delivered ones too: the event's id is the same, so a receiver can drop doubles."""
        now = timezone.now()
        return self.update(
            state=WebhookDelivery.State.PENDING, attempts=0, error="", finished_at=None, next_attempt_at=now,
            give_up_at=now + settings.FABRA_WEBHOOK_GIVE_UP,
        )  # fmt: skip


class WebhookDelivery(models.Model):
    """One event for one endpoint.

    The body is not stored: it is made from the event at each attempt, so that what is erased there is not sent.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        FAILED = "failed"
        DELIVERED = "delivered"
        GIVEN_UP = "given_up", "given up"

    WAITING = (State.PENDING, State.FAILED)

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Since it was made or sent again.")
    next_attempt_at = models.DateTimeField(default=timezone.now)
    give_up_at = models.DateTimeField(default=given_up_from_now)
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="The last answer's HTTP status.")
    error = models.CharField(max_length=50, blank=True, help_text="The code of the last failure.")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "webhook deliveries"
        constraints = [models.UniqueConstraint(fields=["endpoint", "event"], name="delivery_once_per_endpoint")]
        indexes = [
            # Serves the choice of what to send, and the sweep; stays small because ended deliveries are not in it.
            models.Index(
                fields=["endpoint", "next_attempt_at"], name="delivery_due",
                condition=models.Q(state__in=["pending", "failed"]),
            ),
            # Serves the end of what waits too long.
            models.Index(
                fields=["give_up_at"], name="delivery_expiring", condition=models.Q(state__in=["pending", "failed"])
            ),
            # Serves the list of an endpoint's deliveries, and its chart.
            models.Index(fields=["endpoint", "-created_at"], name="delivery_by_endpoint"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"delivery {self.pk}"

    def delivered(self) -> None:
        self.state, self.error, self.finished_at = WebhookDelivery.State.DELIVERED, "", timezone.now()

    def failed(self, error: str, retry_after_s: float | None = None) -> None:
        """Schedule the next attempt, with backoff and jitter; give up if that would be too late."""
        wait_s = min(_BACKOFF_MAX_S, _BACKOFF_S * _BACKOFF_FACTOR ** (self.attempts - 1)) * jitter()
        now = timezone.now()
        self.error = error
        self.next_attempt_at = now + timedelta(seconds=max(wait_s, min(retry_after_s or 0.0, RETRY_AFTER_MAX_S)))
        if self.next_attempt_at > self.give_up_at:
            self.state, self.finished_at = WebhookDelivery.State.GIVEN_UP, now
        else:
            self.state = WebhookDelivery.State.FAILED

    def give_up(self, error: str) -> None:
        self.state, self.error, self.finished_at = WebhookDelivery.State.GIVEN_UP, error, timezone.now()


class WebhookAttempt(models.Model):
    """One attempt of a delivery, as it ended."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="log")
    attempted_at = models.DateTimeField()
    duration_ms = models.FloatField()
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=50, blank=True)
    response = models.TextField(blank=True, help_text="The beginning of the answer.")

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.error or f"HTTP {self.status}"
