"""The audit log: who used which endpoint of the admin or of debugging, when, from where, and what for."""

from django.db import models
from django.utils import timezone


class AuditEntry(models.Model):
    """One use of an endpoint; a trigger of the database refuses to change one.

    It refers to no other row, since it must outlive them, and holds no query, message or secret.
    """

    class By(models.TextChoices):
        USER = "user"
        KEY = "key"
        COMMAND = "command"
        LOCAL = "local", "development mode"

    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=10, choices=By)
    who = models.CharField(
        max_length=150, help_text="The user's name, the API key's, or the account that ran a command."
    )
    key_pk = models.BigIntegerField("API key", null=True)
    address = models.GenericIPAddressField(null=True)
    action = models.CharField(max_length=60)
    target = models.CharField(max_length=300, blank=True)
    endpoint = models.CharField(
        max_length=100, help_text="The name of the URL, the socket, the MCP tool or the command."
    )
    method = models.CharField(max_length=10, blank=True)
    path = models.CharField(max_length=500, blank=True)
    status = models.PositiveSmallIntegerField(null=True, help_text="The HTTP status of the answer.")
    detail = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit log"
        indexes = [
            models.Index(fields=["-at"], name="audit_newest"),  # serves the list, and pruning
            models.Index(fields=["who", "-at"], name="audit_of_one"),  # serves the search for one user
            models.Index(fields=["key_pk", "-at"], name="audit_of_key"),  # serves the link on a key's page
            models.Index(fields=["action"], name="audit_actions"),  # serves the filter's list of actions
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.who}: {self.action} {self.target}".rstrip()
