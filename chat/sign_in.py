"""Sign-ins are throttled by django-axes: where they come from, and the page that a locked out address gets."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from chat.access import address_of as client_of
from common.addresses import sender_of


def address_of(request: HttpRequest) -> str | None:
    """Return what failures are counted by; an IPv6 sender owns its whole /64."""
    return sender_of(client_of(request.META)) or None


def locked_out(request: HttpRequest, *args: Any) -> HttpResponse:
    """Return the page of an address that failed too often; axes calls this with two or three arguments."""
    wait = settings.AXES_COOLOFF_TIME
    minutes = max(1, round(wait.total_seconds() / 60))
    response = render(request, "chat/locked_out.html", {"minutes": minutes}, status=429)
    response["Retry-After"] = str(int(wait.total_seconds()))
    return response
