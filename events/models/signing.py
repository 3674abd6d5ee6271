"""Secrets that sign webhooks, in either direction."""

import base64
import secrets
from datetime import timedelta
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.crypto import salted_hmac

_ENCRYPTION = "events.webhooks.given"


class SecretUnreadable(Exception):
    """The secret was encrypted with a SECRET_KEY that is neither the present one nor in SECRET_KEY_FALLBACKS."""


def new_nonce() -> str:
    return secrets.token_urlsafe(24)


class SigningSecret(models.Model):
    """The columns of a secret that both sides know.

    No secret is stored: each is derived from SECRET_KEY and a nonce, so a copy of the database cannot sign anything.
    During a rotation both the new secret and the previous one are valid.
    """

    nonce = models.CharField(max_length=64, default=new_nonce, editable=False)
    previous_nonce = models.CharField(max_length=64, blank=True, editable=False)
    previous_until = models.DateTimeField("previous secret valid until", null=True, blank=True, editable=False)
    rotated_at = models.DateTimeField("secret made", default=timezone.now, editable=False)

    SALT = "events.webhooks"
    """What the secrets are for: those of another purpose are others."""
    PREFIX = "whsec_"

    class Meta:
        abstract = True

    @property
    def secret(self) -> str:
        return self._secret(self.nonce, settings.SECRET_KEY)

    @property
    def has_previous(self) -> bool:
        """Return whether the secret before this one is still valid."""
        return bool(self.previous_nonce and self.previous_until and self.previous_until > timezone.now())

    def valid_secrets(self) -> list[str]:
        """Return the secrets that are valid now, including those of SECRET_KEY_FALLBACKS."""
        nonces = [self.nonce, self.previous_nonce] if self.has_previous else [self.nonce]
        return [
            self._secret(nonce, key)
            for nonce in nonces
            for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
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

    def _secret(self, nonce: str, key: Any) -> str:
        digest = salted_hmac(self.SALT, nonce, secret=key, algorithm="sha256").digest()
        return self.PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def encrypted(secret: str) -> str:
    """Return a secret that somebody else chose as it may be stored: readable with SECRET_KEY only."""
    return _fernet().encrypt(secret.encode()).decode()


def decrypted(text: str) -> str:
    try:
        return _fernet().decrypt(text.encode()).decode()
    except InvalidToken:
        raise SecretUnreadable from None


def _fernet() -> MultiFernet:
    keys = [
        salted_hmac(_ENCRYPTION, "", secret=key, algorithm="sha256").digest()
        for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    ]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])
