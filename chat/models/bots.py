"""The bots of an installation: what each looks like, and what it answers from."""

import hashlib

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

DEFAULT_BOT = "default"
"""The slug of the bot at `/`, which always exists: what its row leaves empty is as without it."""

_colour = RegexValidator(r"\A#[0-9a-fA-F]{6}\Z", message="Write a colour as #0b6e69.")


class BotQuerySet(models.QuerySet["Bot"]):
    def without_logo(self) -> "BotQuerySet":
        """Return the bots without reading their pictures."""
        return self.defer("logo")


class Bot(models.Model):
    """A bot with a page of its own; an empty column stands for what the installation has for all."""

    slug = models.SlugField(
        max_length=50,
        unique=True,
        help_text="Its page is /b/…/, and programs name it so. It stays: conversations and keys are bound to it.",
    )
    name = models.CharField(
        max_length=60, blank=True, help_text="Stands in the page's title and list. Empty: “Support”."
    )
    is_enabled = models.BooleanField(
        "enabled", default=True, help_text="Off: it has no page, and answers nobody. Its conversations are kept."
    )
    # Pictures are in the database, so that every web process has them, and a backup too.
    logo = models.BinaryField(null=True, editable=False)
    logo_type = models.CharField(max_length=50, blank=True, editable=False)
    logo_digest = models.CharField(max_length=16, blank=True, editable=False)
    accent = models.CharField("colour", max_length=7, blank=True, validators=[_colour])
    accent_dark = models.CharField("colour in the dark", max_length=7, blank=True, validators=[_colour])
    language = models.CharField(
        max_length=20, blank=True, help_text="The only language of its page. Empty: the reader's."
    )
    texts = models.JSONField(default=dict, blank=True, editable=False)
    """By language: `greeting`, `introduction`, and `starters`, a list of questions."""
    context = models.CharField(max_length=200, blank=True)
    index = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    demo_users = ArrayField(models.CharField(max_length=600), default=list, blank=True)
    """Whom somebody who may choose can be on its page, as lines of `user_id | name | tier`."""

    objects = BotQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.name or self.slug

    @property
    def is_default(self) -> bool:
        return self.slug == DEFAULT_BOT

    def clean(self) -> None:
        if self.is_default and not self.is_enabled:
            raise ValidationError({"is_enabled": "The default bot cannot be switched off: it has the page at /."})

    def set_logo(self, picture: bytes, media_type: str) -> None:
        """Set the picture, or with an empty one remove it, without saving."""
        self.logo, self.logo_type = picture or None, media_type if picture else ""
        self.logo_digest = hashlib.sha256(picture).hexdigest()[:16] if picture else ""
