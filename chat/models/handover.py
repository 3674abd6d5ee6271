"""What an operator decides about the people who answer: when they are there, and how long a customer waits for one."""

from datetime import timedelta
from typing import Self
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from chat.models import reasons

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def check_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError("There is no time zone of this name; write it as Europe/Berlin.")


class HandoverSettings(models.Model):
    """One row: how a conversation goes between the bot and people."""

    is_enabled = models.BooleanField(
        "people can be asked for",
        default=True,
        help_text="Off: no button and no promise; whoever asks for a person is told what stands below. Agents can "
        "still take conversations over.",
    )
    on_thumbs_down = models.BooleanField(
        "ask after a thumbs-down", default=True, help_text="A person is asked for when an answer gets a thumbs-down."
    )
    on_not_known_twice = models.BooleanField(
        "ask after “I do not know” twice",
        default=True,
        help_text="A person is asked for when the bot did not know the answer to two questions running.",
    )
    texts = models.JSONField(
        default=dict, blank=True, help_text="How support is reached where nobody can be asked for, by language."
    )
    time_zone = models.CharField(
        max_length=50, default="UTC", validators=[check_time_zone], help_text="Of the support hours, as Europe/Berlin."
    )
    unanswered_after_min = models.PositiveIntegerField(
        "unanswered after (min)",
        default=15,
        help_text="A customer whom a person leaves without an answer for so many minutes is answered by the bot again. "
        "0: never.",
    )
    wait_told_after_min = models.PositiveIntegerField(
        "long wait (min)",
        default=10,
        help_text="A customer for whom nobody has come for so many minutes of the support hours is told so, and asked "
        "for an e-mail address. 0: never.",
    )
    close_after_days = models.PositiveIntegerField(
        "close after (days)",
        default=7,
        help_text="A conversation that waits for a person, or has one, is closed when nobody has written in it for so "
        "many days. 0: never, and then it is kept for ever.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "handover to people"

    def __str__(self) -> str:
        return "Handover to people"

    @classmethod
    def load(cls) -> Self:
        """Return the one row; the defaults until it is made."""
        return cls.objects.filter(pk=1).first() or cls(pk=1)

    def allows(self, reason: str) -> bool:
        """Return whether a person is asked for with this reason; agents may always ask for one."""
        if reason in reasons.OF_AGENTS:
            return True
        is_on = {reasons.THUMBS_DOWN: self.on_thumbs_down, reasons.NOT_KNOWN_TWICE: self.on_not_known_twice}
        return self.is_enabled and is_on.get(reason, True)

    @property
    def nobody_joins(self) -> str:
        """What somebody is told who asks for a person where nobody can be asked for, in the active language."""
        return f"{_('No person can join this conversation.')} {self.reach_text(get_language() or '')}".strip()

    @property
    def person_offer(self) -> str:
        """The sentence that offers a person, or how support is reached otherwise; "" if neither is to be had."""
        return _("You can ask for a person.") if self.is_enabled else self.reach_text(get_language() or "")

    def reach_text(self, language: str) -> str:
        """Return how support is reached, in a language or else in another that it is written in; "" if in none."""
        given: dict[str, str] = self.texts
        codes = (language, language.partition("-")[0], settings.LANGUAGE_CODE, settings.LANGUAGE_CODE.partition("-")[0])
        texts = [given.get(code, "") for code in codes]
        return next((text for text in [*texts, *given.values()] if text), "")

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def unanswered_after(self) -> timedelta | None:
        return timedelta(minutes=self.unanswered_after_min) if self.unanswered_after_min else None

    @property
    def wait_told_after(self) -> timedelta | None:
        return timedelta(minutes=self.wait_told_after_min) if self.wait_told_after_min else None

    @property
    def close_after(self) -> timedelta | None:
        return timedelta(days=self.close_after_days) if self.close_after_days else None


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


class ClosedDay(models.Model):
    """A day without support hours, such as a holiday."""

    settings = models.ForeignKey(HandoverSettings, on_delete=models.CASCADE, related_name="closed_days")
    day = models.DateField()
    name = models.CharField(max_length=100, blank=True, help_text="For you, such as New Year's Day.")

    class Meta:
        ordering = ("day",)
        verbose_name = "closed day"
        constraints = [models.UniqueConstraint(fields=["settings", "day"], name="closed_once")]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.name}".strip()
