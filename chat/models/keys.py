"""API keys, and what the project's groups were granted."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone


class GrantedPermission(models.Model):
    """A permission that was given to one of the project's groups once: an operator who takes it away is heeded."""

    group = models.CharField(max_length=150)
    permission = models.CharField(max_length=200)
    granted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "permission"], name="granted_once")]

    def __str__(self) -> str:
        return f"{self.group}: {self.permission}"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self) -> Self:
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=timezone.now()), revoked_at=None)


class ApiKey(models.Model):
    """A key for the API; only its SHA-256 is stored, which is safe for 256 random bits."""

    class Scope(models.TextChoices):
        CHAT = "chat"
        INGEST = "ingest"
        DEBUG = "debug"

    class Kind(models.TextChoices):
        SECRET = "secret", "secret: for servers"
        PUBLIC = "public", "public: for the pages of its origins"

    PREFIXES = {Kind.SECRET: "fabra_sec_", Kind.PUBLIC: "fabra_pub_"}
    SEEN_EVERY = timedelta(minutes=1)

    name = models.CharField(max_length=100)
    start = models.CharField(max_length=16, help_text="The first characters of the key, which identify it.")
    digest = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.SECRET)
    scopes = ArrayField(models.CharField(max_length=10, choices=Scope), default=list)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="api_keys",
        help_text="The key may do no more than this user. Without one, it may do what its scopes say.",
    )
    indexes = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    contexts = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    users = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    networks = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    origins = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    """The sites whose pages may use a public key, such as `https://www.example.com`."""
    per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(10_000)]
    )
    per_day = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(100_000)]
    )
    daily_budget_usd = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)
    monthly_budget_usd = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = "API key"

    def __str__(self) -> str:
        return self.name

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    @classmethod
    def make(cls, name: str, scopes: list[str], expires_at: datetime | None = None, **bounds: Any) -> tuple[Self, str]:
        """Create a key; return the row and the key itself, which is shown once and not stored.

        `bounds` are the columns `kind`, `owner`, `indexes`, `contexts`, `users`, `networks`, `origins`, `per_minute`,
        `per_day` and the budgets.
        """
        row = cls(name=name, scopes=scopes, expires_at=expires_at, **bounds)
        key = row.renew()
        row.save()
        return row, key

    def renew(self) -> str:
        """Give the unsaved row a new key, and return it."""
        prefix = self.PREFIXES[ApiKey.Kind(self.kind)]
        key = prefix + secrets.token_urlsafe(32)
        self.start, self.digest = key[: len(prefix) + 5], self.digest_of(key)
        return key

    @classmethod
    def authenticate(cls, key: str) -> "ApiKey | None":
        """Return the key's row if it is usable; update `last_used_at` at most once a minute."""
        # Raw SQL, because every request runs this, and the ORM takes longer to build it than PostgreSQL to answer.
        found = cls.objects.raw("SELECT * FROM chat_apikey WHERE digest = %s", [cls.digest_of(key)])
        row = next(iter(found), None)
        if row is None or not row.is_usable or (row.owner is not None and not row.owner.is_active):
            return None
        if row.last_used_at is None or timezone.now() - row.last_used_at > cls.SEEN_EVERY:
            cls.objects.filter(pk=row.pk).update(last_used_at=timezone.now())
        return row

    @staticmethod
    def digest_of(key: str) -> str:
        return hashlib.sha256(key.encode(errors="replace")).hexdigest()
