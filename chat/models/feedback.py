"""What users think of answers."""

from django.db import models
from django.utils import timezone

from chat.models.conversations import Message

COMMENT_MAX_CHARS = 2000


class Feedback(models.Model):
    """A user's thumbs up or down for an answer, with a comment; one for each user and answer."""

    class Value(models.TextChoices):
        UP = "up", "thumbs up"
        DOWN = "down", "thumbs down"

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="feedback")
    user_id = models.CharField(max_length=255)
    value = models.CharField(max_length=4, choices=Value)
    comment = models.TextField(blank=True, max_length=COMMENT_MAX_CHARS)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "feedback"
        constraints = [models.UniqueConstraint(fields=["message", "user_id"], name="feedback_once_per_user")]
        indexes = [
            # Serves the admin's list, newest first.
            models.Index(fields=["-updated_at"], name="feedback_newest")
        ]

    def __str__(self) -> str:
        return f"{self.get_value_display()} by {self.user_id}"
