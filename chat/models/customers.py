"""Customers of the sample data, and their support tickets."""

from django.db import models
from django.utils import timezone


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


class Ticket(models.Model):
    class Status(models.TextChoices):
        OPEN = "open"
        CLOSED = "closed"

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="tickets")
    number = models.PositiveIntegerField(unique=True)
    subject = models.CharField(max_length=300)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-number",)

    def __str__(self) -> str:
        return f"Ticket #{self.number}"
