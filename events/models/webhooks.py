"""Webhook sources and their signing secrets."""

import base64
import re
import secrets
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.crypto import salted_hmac

_NAME = RegexValidator(r"^[a-z0-9][a-z0-9_-]*$", "Lower-case letters, digits, - and _, since it is part of the URL.")


def new_nonce() -> str:
    return secrets.token_urlsafe(24)


class WebhookSourceQuerySet(models.QuerySet["WebhookSource"]):
    def usable(self) -> Self:
        return self.filter(is_enabled=True)

    def named(self, name: str) -> "WebhookSource | None":
        """Return the source of this name; None if there is none, also for what can be no name."""
        return self.filter(name=name).first() if re.fullmatch(_NAME.regex, name) else None


class WebhookSource(models.Model):
    """A system that may POST to /webhooks/<name>/.

    No secret is stored: each is derived from SECRET_KEY and a nonce, so a copy of the database cannot sign anything.
    During a rotation both the new secret and the previous one are valid.
    """

    name = models.CharField(max_length=50, unique=True, validators=[_NAME], help_text="The last part of the URL.")
    mapping = models.JSONField(default=dict, blank=True)
    is_enabled = models.BooleanField("enabled", default=True)
    nonce = models.CharField(max_length=64, default=new_nonce, editable=False)
    previous_nonce = models.CharField(max_length=64, blank=True, editable=False)
    previous_until = models.DateTimeField("previous secret valid until", null=True, blank=True, editable=False)
    rotated_at = models.DateTimeField("secret made", default=timezone.now, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WebhookSourceQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def secret(self) -> str:
        return _secret(self.nonce, settings.SECRET_KEY)

    def valid_secrets(self) -> list[str]:
        """Return the secrets that are valid now, including those of SECRET_KEY_FALLBACKS."""
        nonces = [self.nonce]
        if self.previous_nonce and self.previous_until and self.previous_until > timezone.now():
            nonces.append(self.previous_nonce)
        return [
            _secret(nonce, key) for nonce in nonces for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        ]

    def rotate(self, overlap: timedelta | None = None) -> str:
        """Make a new secret and return it; the old one stays valid for `overlap` (default: FABRA_WEBHOOK_OVERLAP)."""
        now = timezone.now()
        self.previous_nonce, self.nonce, self.rotated_at = self.nonce, new_nonce(), now
        self.previous_until = now + (settings.FABRA_WEBHOOK_OVERLAP if overlap is None else overlap)
        self.save(update_fields=["nonce", "previous_nonce", "previous_until", "rotated_at"])
        return self.secret

    def end_previous(self) -> bool:
        """Invalidate the previous secret; return whether there was one."""
        had_one = bool(self.previous_nonce)
        self.previous_nonce, self.previous_until = "", None
        self.save(update_fields=["previous_nonce", "previous_until"])
        return had_one


def _secret(nonce: str, key: Any) -> str:
    digest = salted_hmac("events.webhooks", nonce, secret=key, algorithm="sha256").digest()
    return "whsec_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
