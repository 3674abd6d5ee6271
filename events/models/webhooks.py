"""Webhook sources: systems that send events."""

import re
from typing import Self

from django.core.validators import RegexValidator
from django.db import models

from events.models.signing import SigningSecret

NAME = RegexValidator(r"^[a-z0-9][a-z0-9_-]*$", "Lower-case letters, digits, - and _, since it is part of the URL.")


class WebhookSourceQuerySet(models.QuerySet["WebhookSource"]):
    def usable(self) -> Self:
        return self.filter(is_enabled=True)

    def named(self, name: str) -> "WebhookSource | None":
        """Return the source of this name; None if there is none, also for what can be no name."""
        return self.filter(name=name).first() if re.fullmatch(NAME.regex, name) else None


class WebhookSource(SigningSecret):
    """A system that may POST to /webhooks/<name>/."""

    name = models.CharField(max_length=50, unique=True, validators=[NAME], help_text="The last part of the URL.")
    mapping = models.JSONField(default=dict, blank=True)
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WebhookSourceQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
