"""Webhook endpoints: other systems that are notified of events."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from common.clocks import is_ahead, is_reached
from events.models.events import jitter
from events.models.signing import SigningSecret, decrypted, encrypted

PAUSE_AFTER = 5
"""An endpoint that failed so often in a row is asked again only now and then, by one delivery."""
_PAUSE_S, _PAUSE_MAX_S = 60.0, 3600.0
RETRY_AFTER_MAX_S = 4 * 3600.0
"""For so long at most a receiver may ask to be left alone."""
_PATTERN = RegexValidator(r"^[^\s,?\[\]]+\Z", "An event type, or a pattern in which * stands for any characters.")


def _is_unpaused(now: datetime | None) -> models.Q:
    """Return the condition that no pause lasts, or that a clock which was ahead has begun it."""
    over = is_reached("paused_until", longest=timedelta(seconds=2 * RETRY_AFTER_MAX_S), now=now)
    return models.Q(paused_until=None) | over | is_ahead("last_failure_at", now=now)


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def wanting(self, event_type: str) -> "list[WebhookEndpoint]":
        """Return the enabled endpoints that are notified of events of a type."""
        return [endpoint for endpoint in self.filter(is_enabled=True) if endpoint.wants(event_type)]

    def with_due(self, now: datetime | None = None) -> Self:
        """Return the endpoints, enabled and not paused, that have a delivery to send now."""
        deliveries: Any = self.model._meta.get_field("deliveries").related_model._default_manager
        due = models.Exists(deliveries.due(now).filter(endpoint=models.OuterRef("pk")))
        return self.filter(due, _is_unpaused(now), is_enabled=True)

    def being_deleted(self) -> Self:
        return self.filter(deleted_at__isnull=False)


class WebhookEndpoint(SigningSecret):
    """A URL that gets the events of the types it wants, signed."""

    name = models.CharField(max_length=50, unique=True)
    url = models.CharField("URL", max_length=500)
    event_types = ArrayField(models.CharField(max_length=200, validators=[_PATTERN]))
    given_secret = models.TextField(
        blank=True, editable=False, help_text="A secret that the receiver chose, encrypted; empty: one is derived."
    )
    is_enabled = models.BooleanField("enabled", default=True)
    is_gone = models.BooleanField(default=False, editable=False, help_text="It answered 410, and so was disabled.")
    failures_in_row = models.PositiveIntegerField(default=0, editable=False)
    paused_until = models.DateTimeField(null=True, blank=True, editable=False)
    last_success_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_failure_at = models.DateTimeField(null=True, blank=True, editable=False)
    dispatched_at = models.DateTimeField(
        default=timezone.now, editable=False, help_text="When the sweep last enqueued it for Celery."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when its deliveries are removed, and then itself."
    )

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        if self.deleted_at:
            return "being deleted"
        if not self.is_enabled:
            return "gone" if self.is_gone else "disabled"
        return "paused" if self.paused_until and self.paused_until > timezone.now() else "enabled"

    def give_secret(self, secret: str) -> None:
        """Sign with a secret that the receiver chose, as another installation's webhook source does."""
        self.given_secret = encrypted(secret)

    def signing_secrets(self) -> list[str]:
        """Return the secrets to sign with; raise SecretUnreadable if SECRET_KEY is not the one that encrypted it."""
        return [decrypted(self.given_secret)] if self.given_secret else self.valid_secrets()

    def rotate(self, overlap: timedelta | None = None) -> str:
        """Make a new secret, also in place of one that the receiver chose."""
        self.given_secret = ""
        self.save(update_fields=["given_secret"])
        return super().rotate(overlap)

    def wants(self, event_type: str) -> bool:
        return any(
            re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), event_type, re.S) for pattern in self.event_types
        )

    def succeeded(self) -> None:
        self.failures_in_row, self.paused_until, self.last_success_at = 0, None, timezone.now()
        self.save(update_fields=["failures_in_row", "paused_until", "last_success_at"])

    def failed(self, retry_after_s: float | None = None) -> None:
        """Count a failure; pause the endpoint when there were many in a row, or it asks to be left alone for a time."""
        now = timezone.now()
        self.failures_in_row, self.last_failure_at = self.failures_in_row + 1, now
        wait_s = 0.0
        if self.failures_in_row >= PAUSE_AFTER:
            wait_s = min(_PAUSE_MAX_S, _PAUSE_S * 2 ** min(self.failures_in_row - PAUSE_AFTER, 10)) * jitter()
        wait_s = max(wait_s, min(retry_after_s or 0.0, RETRY_AFTER_MAX_S))
        self.paused_until = now + timedelta(seconds=wait_s) if wait_s else None
        self.save(update_fields=["failures_in_row", "paused_until", "last_failure_at"])

    def retire(self) -> None:
        """Disable the endpoint because it says that it is gone."""
        self.is_enabled, self.is_gone = False, True
        self.save(update_fields=["is_enabled", "is_gone"])

    def mark_deleted(self) -> None:
        """Have nothing sent any more, until the row is gone; nobody enables it again."""
        self.is_enabled, self.deleted_at, self.dispatched_at = False, timezone.now(), timezone.now()
        self.save(update_fields=["is_enabled", "deleted_at", "dispatched_at"])

    def revive(self) -> None:
        """Forget the failures, so that what waits is sent at once."""
        self.is_gone, self.failures_in_row, self.paused_until = False, 0, None
        self.save(update_fields=["is_gone", "failures_in_row", "paused_until"])


def problems_of_patterns(patterns: Sequence[str]) -> list[str]:
    """Return the patterns that can be no event type."""
    return [pattern for pattern in patterns if len(pattern) > 200 or not re.fullmatch(_PATTERN.regex, pattern)]
