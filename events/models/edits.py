"""What operators changed of dead events before they sent them again."""

from django.db import models

from events.models.events import Event


class EventEdit(models.Model):
    """An operator's edit of a dead event's payload, with the payload before and after it."""

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="edits")
    before = models.JSONField()
    after = models.JSONField()
    edited_by = models.CharField(max_length=150)
    edited_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.event} edited by {self.edited_by}"
