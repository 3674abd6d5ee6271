"""What is remembered of requests with an Idempotency-Key."""

from django.db import models
from django.utils import timezone


class IdempotentRequest(models.Model):
    """A request that its caller may repeat: who is running it, or the answer that it had.

    Neither the key nor the request is stored, only their digests. Statements on it are in `chat.idempotency.records`.
    """

    digest = models.CharField(max_length=64, primary_key=True, help_text="SHA-256 of the caller and the key.")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, address and body.")
    token = models.UUIDField(help_text="Of the process that runs it.")
    leased_until = models.DateTimeField(help_text="When another may run it, unless it is renewed or answered.")
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the answer; empty until there is one.")
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True)
    conversation = models.ForeignKey(
        "chat.Conversation", null=True, on_delete=models.CASCADE, related_name="+", help_text="It is deleted with it."
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            # Serves the pruning.
            models.Index(fields=["created_at"], name="idempotent_by_time")
        ]

    def __str__(self) -> str:
        return f"{self.digest[:8]} {self.status or 'running'}"
