"""Rows that mirror what the code declares, with the operator's changes."""

from django.db import models


class Definition(models.Model):
    """A definition in the code, mirrored by `migrate`; when the code is gone, the row stays with `gone_at` set."""

    name = models.CharField(max_length=200, unique=True)
    description = models.TextField(blank=True)
    location = models.CharField(max_length=300, help_text="Module and line of the code.")
    is_enabled = models.BooleanField("enabled", default=True)
    gone_at = models.DateTimeField(
        null=True, blank=True, help_text="When its declaration was first missing from the code."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
