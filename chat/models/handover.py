"""What an operator decides about the people who answer: when they are there, and how long a customer waits for one."""

from datetime import timedelta
from typing import Self
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError
from django.db import models

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def check_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError("There is no time zone of this name; write it as Europe/Berlin.")


class HandoverSettings(models.Model):
    """One row: how a conversation goes between the bot and people."""

    time_zone = models.CharField(
        max_length=50, default="UTC", validators=[check_time_zone], help_text="Of the support hours, as Europe/Berlin."
    )
    unanswered_after_min = models.PositiveIntegerField(
        "unanswered after (min)",
        default=15,
        help_text="A customer whom a person leaves without an answer for so many minutes is answered by the bot again. "
        "0: never.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "handover to people"

    def __str__(self) -> str:
        return "Handover to people"

    @classmethod
    def load(cls) -> Self:
        """Return the one row; the defaults until it is made."""
        return cls.objects.filter(pk=1).first() or cls(pk=1)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def unanswered_after(self) -> timedelta | None:
        return timedelta(minutes=self.unanswered_after_min) if self.unanswered_after_min else None


class SupportHours(models.Model):
    """A span of a weekday in which somebody is there; without any, somebody always is."""

    settings = models.ForeignKey(HandoverSettings, on_delete=models.CASCADE, related_name="hours")
    weekday = models.PositiveSmallIntegerField(choices=list(enumerate(_WEEKDAYS)))
    opens = models.TimeField()
    closes = models.TimeField(help_text="00:00 is the end of the day.")

    class Meta:
        ordering = ("weekday", "opens")
        verbose_name = verbose_name_plural = "support hours"

    def __str__(self) -> str:
        return f"{_WEEKDAYS[self.weekday]} {self.opens:%H:%M}–{self.closes:%H:%M}"

    def clean(self) -> None:
        if self.opens and self.closes and self.closes != self.closes.min and self.closes <= self.opens:
            raise ValidationError({"closes": "It must be after the beginning; write a night as two spans."})
