"""Whether the sample was loaded into this database."""

from django.db import models


class SampleState(models.Model):
    """The one row that says what became of the sample; without it nobody loaded it, or a release before this one."""

    class State(models.TextChoices):
        LOADING = "loading"
        LOADED = "loaded"
        REMOVED = "removed"

    state = models.CharField(max_length=10, choices=State)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.state
