"""Users of sites that embed the chat: how a site signs them, and which visitors turned out to be whom."""

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils.text import slugify

from chat.models.keys import ApiKey
from chat.models.user_ids import RESERVED_PREFIXES
from events.models.signing import SigningSecret

_END = "-----END PUBLIC KEY-----"
_RESERVED = "|".join(RESERVED_PREFIXES)
# One word and a colon, so that no prefix is the beginning of another one.
_prefix = RegexValidator(
    rf"\A(?!{_RESERVED})[A-Za-z0-9._-]+:\Z",
    message=f"Write one word of letters and digits with a colon, as shop:, but not {' or '.join(RESERVED_PREFIXES)}.",
)


class UserSigning(SigningSecret):
    """How the site of a public key signs its users: by a shared secret, or by a key pair of its own.

    The secret is derived from SECRET_KEY, so a copy of the database signs nobody. For a rotation of a key pair both
    public keys stand here for a while.
    """

    class Algorithm(models.TextChoices):
        HS256 = "HS256", "HS256: a secret that both sides know"
        EDDSA = "EdDSA", "EdDSA: the site's own Ed25519 key pair"

    SALT = "chat.access.tokens"
    PREFIX = "fabra_sig_"

    key = models.OneToOneField(ApiKey, on_delete=models.CASCADE, related_name="signing")
    algorithm = models.CharField(max_length=10, choices=Algorithm, default=Algorithm.HS256)
    user_prefix = models.CharField(
        "prefix of user ids", max_length=60, blank=True, default=None, db_default="", validators=[_prefix],
        help_text="Stands before the ids of the site's users, so that they are nobody else. Empty: an account, or a"
        " user of another site, with the same id has the same conversations. After a change the users have new ones.",
    )  # fmt: skip
    """None until it is saved, which makes one of the key's own."""
    public_keys = models.TextField(
        blank=True, help_text="For EdDSA: the site's public key as PEM; during a rotation, the next one below it."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("key",)
        verbose_name = "signing of users"
        verbose_name_plural = "signing of users"

    def __str__(self) -> str:
        return f"{self.key}, {self.algorithm}"

    @property
    def name(self) -> str:
        return self.key.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.user_prefix is None:
            self.user_prefix = f"{slugify(self.key.name)[:40] or 'site'}-{self.key.pk}:"
        super().save(*args, **kwargs)

    def clean(self) -> None:
        if self.algorithm == self.Algorithm.EDDSA and not self.verification_keys():
            raise ValidationError({"public_keys": "EdDSA needs the site's public key."})

    def verification_keys(self) -> list[Any]:
        """Return what signatures are verified with, any of which may fit; raise ValidationError for what is no key."""
        if self.algorithm == self.Algorithm.HS256:
            return [secret.encode() for secret in self.valid_secrets()]
        blocks = [block.strip() for block in self.public_keys.split(_END) if block.strip()]
        return [_public_key(f"{block}\n{_END}\n") for block in blocks]


class JoinedVisitor(models.Model):
    """A visitor without an account who signed in: their conversations became the user's, once and for all."""

    visitor = models.CharField(max_length=255, primary_key=True, help_text="The user_id that the visitor had.")
    user_id = models.CharField(max_length=255, db_index=True)
    joined_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.visitor} is {self.user_id}"


def _public_key(pem: str) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValidationError({"public_keys": "That is no public key in PEM."}) from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValidationError({"public_keys": "That is no Ed25519 public key in PEM."})
    return key
