"""Customers of the sample data, and their support tickets."""

from typing import Any

from django.db import models
from django.utils import timezone

from common.locks import lock_in_transaction


class Customer(models.Model):
    """A customer of the fictional service of the sample data."""

    user_id = models.CharField(max_length=255, unique=True)
    name = models.CharField(max_length=200, blank=True)
    tier = models.CharField(max_length=50, default="free")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("user_id",)

    def __str__(self) -> str:
        return self.name or self.user_id


class TicketQuerySet(models.QuerySet["Ticket"]):
    def open_with_next_number(self, **columns: Any) -> "Ticket":
        """Create a ticket with the next free number, in the caller's transaction; two at once get two numbers."""
        lock_in_transaction("ticket number")
        last = self.aggregate(last=models.Max("number"))["last"] or 0
        return self.create(number=last + 1, **columns)


class Ticket(models.Model):
    class Status(models.TextChoices):
        OPEN = "open"
        CLOSED = "closed"

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="tickets")
    number = models.PositiveIntegerField(unique=True)
    subject = models.CharField(max_length=300)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    note = models.TextField(blank=True, help_text="How it ended.")
    conversation = models.ForeignKey(
        "chat.Conversation", null=True, blank=True, on_delete=models.CASCADE, related_name="tickets"
    )
    created_at = models.DateTimeField(default=timezone.now)

    objects = TicketQuerySet.as_manager()

    class Meta:
        ordering = ("-number",)

    def __str__(self) -> str:
        return f"Ticket #{self.number}"
