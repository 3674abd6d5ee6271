"""The table of what became of the events of each past hour, so that a chart of a month need not read them."""

from django.db import models


class EventHour(models.Model):
    """The events that were received in one hour, by what became of them."""

    hour = models.DateTimeField(primary_key=True, help_text="The beginning of the hour.")
    events = models.PositiveIntegerField(help_text="All of them.")
    done = models.PositiveIntegerField()
    superseded = models.PositiveIntegerField()
    unhandled = models.PositiveIntegerField()
    waiting = models.PositiveIntegerField()
    dead = models.PositiveIntegerField()
    retries = models.PositiveIntegerField()
    all_ids = models.DecimalField(max_digits=30, decimal_places=0, help_text="The sum of their ids.")
    dead_ids = models.DecimalField(max_digits=30, decimal_places=0, help_text="The sum of the ids of dead ones.")
    lags = models.JSONField(
        help_text="How many were applied after so long: counts by the step of the lag; see events.hours."
    )

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00}"
