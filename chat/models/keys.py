"""API keys, and what the project's groups were granted."""

import hashlib
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone

from chat.models.key_text import new_key
from common.errors import FabraError, InvalidInput


class RotationRefused(FabraError):
    """The key cannot be rotated."""

    code = "rotation_refused"


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
        SEARCH = "search"
        INGEST = "ingest"
        DEBUG = "debug"
        DESK = "desk"

    class Kind(models.TextChoices):
        SECRET = "secret", "secret: for servers"
        PUBLIC = "public", "public: for the pages of its origins"

    PREFIXES = {Kind.SECRET: "fabra_sec_", Kind.PUBLIC: "fabra_pub_"}
    SEEN_EVERY = timedelta(minutes=1)
    SOON = timedelta(days=14)
    """So long before its expiry the admin warns of it."""
    MAX_OVERLAP = timedelta(days=90)

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
    bot = models.CharField(max_length=50, blank=True, default="", db_default="")
    """The slug of the only bot that it chats with; "" for any."""
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
    # The secret before the present one, which goes on working for a while after a rotation.
    previous_start = models.CharField(max_length=16, blank=True, editable=False)
    previous_digest = models.CharField(max_length=64, unique=True, null=True, blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    previous_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    rotated_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(kind="public") | models.Q(scopes=["chat"]), name="public_key_only_chats"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    @property
    def expires_soon(self) -> bool:
        return self.is_usable and self.expires_at is not None and self.expires_at - timezone.now() < self.SOON

    @property
    def has_previous(self) -> bool:
        """Return whether the secret before the present one works still."""
        return bool(self.previous_digest and self.previous_until and self.previous_until > timezone.now())

    def is_opened_by(self, key: str) -> bool:
        """Return whether this is the key, by its present secret or by the one before, while that works."""
        digest = self.digest_of(key)
        return digest == self.digest or (self.has_previous and digest == self.previous_digest)

    @classmethod
    def make(cls, name: str, scopes: list[str], expires_at: datetime | None = None, **bounds: Any) -> tuple[Self, str]:
        """Create a key; return the row and the key itself, which is shown once and not stored.

        `bounds` are the columns `kind`, `owner`, `indexes`, `contexts`, `users`, `networks`, `origins`, `bot`,
        `per_minute`, `per_day` and the budgets. Raise InvalidInput for a public key with another scope than `chat`.
        """
        row = cls(name=name, scopes=scopes, expires_at=expires_at, **bounds)
        if problems := problems_of_kind(row.kind, scopes):
            raise InvalidInput(" ".join(problems.values()))
        key = row.renew()
        row.save()
        return row, key

    def renew(self) -> str:
        """Give the row a new secret, which is not saved yet, and return it."""
        prefix = self.PREFIXES[ApiKey.Kind(self.kind)]
        key = new_key(prefix)
        self.start, self.digest = key[: len(prefix) + 5], self.digest_of(key)
        return key

    def rotate(self, overlap: timedelta, *, end_previous: bool = False) -> str:
        """Give the key a new secret and return it; the present one works for `overlap` more.

        Raise RotationRefused for a key that has ended, and where the secret of an earlier rotation works still, unless
        it is to end now: whoever uses it would be locked out.
        """
        if not timedelta() <= overlap <= self.MAX_OVERLAP:
            raise InvalidInput(f"The overlap must be between 0 and {self.MAX_OVERLAP.days} days.")
        with transaction.atomic():
            row = ApiKey.objects.select_for_update().get(pk=self.pk)
            if not row.is_usable:
                raise RotationRefused("A key that is revoked or expired cannot be rotated; make a new one.")
            if row.has_previous and not end_previous:
                raise RotationRefused(
                    f"The secret {row.previous_start}… of an earlier rotation works until"
                    f" {row.previous_until:%Y-%m-%d %H:%M} UTC; end it first."
                )
            now = timezone.now()
            row.previous_start, row.previous_digest = row.start, row.digest
            row.previous_until, row.previous_used_at = now + overlap, row.last_used_at
            row.last_used_at, row.rotated_at = None, now
            key = row.renew()
            row.save()
        self.refresh_from_db()
        return key

    def end_previous(self) -> bool:
        """End the secret before the present one now; return whether it worked still."""
        now = timezone.now()
        return bool(ApiKey.objects.filter(pk=self.pk, previous_until__gt=now).update(previous_until=now))

    @classmethod
    def authenticate(cls, key: str) -> "ApiKey | None":
        """Return the key's row if it is usable; note when each of its secrets was used, at most once a minute."""
        digest = cls.digest_of(key)
        # Raw SQL, because every request runs this, and the ORM takes longer to build it than PostgreSQL to answer.
        found = cls.objects.raw("SELECT * FROM chat_apikey WHERE digest = %s OR previous_digest = %s", [digest, digest])
        row = next(iter(found), None)
        if row is None or not row.is_usable or (row.owner is not None and not row.owner.is_active):
            return None
        if row.digest != digest and not row.has_previous:
            return None
        row._note_use("last_used_at" if row.digest == digest else "previous_used_at")
        return row

    def _note_use(self, column: str) -> None:
        now, seen = timezone.now(), getattr(self, column)
        if seen is None or now - seen > self.SEEN_EVERY:
            ApiKey.objects.filter(pk=self.pk).update(**{column: now})

    @staticmethod
    def digest_of(key: str) -> str:
        return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def problems_of_kind(kind: str, scopes: list[str]) -> dict[str, str]:
    """Return what is wrong with a key's scopes, by the name of the field."""
    if kind == ApiKey.Kind.PUBLIC and list(scopes) != [ApiKey.Scope.CHAT]:
        return {"scopes": "A public key stands in the page for everyone to read: it may only chat."}
    return {}


class KeyUse(models.Model):
    """How often a key was used on one day (UTC); see chat.limits.key_use."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="use")
    day = models.DateField()
    accepted = models.PositiveBigIntegerField(default=0)
    refused = models.PositiveBigIntegerField(default=0)
    """Requests beyond the key's limits."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "day"], name="key_use_of_day")]

    def __str__(self) -> str:
        return f"{self.key_id} {self.day}"
