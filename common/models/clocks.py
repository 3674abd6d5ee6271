"""The table of the times that work which deletes by age took for now."""

from django.db import models


class ClockReading(models.Model):
    """The last time that a piece of work took for now, by which it knows a clock that was set forward."""

    work = models.CharField(max_length=50, primary_key=True)
    read_at = models.DateTimeField(help_text="The last time that was believed.")
    doubted_since = models.DateTimeField(null=True, help_text="The first time that was too far ahead to be believed.")
    doubted_at = models.DateTimeField(null=True, help_text="The last one.")

    def __str__(self) -> str:
        return f"{self.work} {self.read_at:%Y-%m-%d %H:%M:%S}"
