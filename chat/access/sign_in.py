"""Sign-ins are throttled by django-axes: where they come from, and the page that a locked out address gets."""

from typing import Any

from axes.backends import AxesStandaloneBackend
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from chat.access.permissions import address_of as client_of
from common.client_address import sender_of


class ThrottledBackend(AxesStandaloneBackend):
    """Refuse a locked out address before any password is checked; code that signs in without a request is our own."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        if request is not None:
            super().authenticate(request, **credentials)


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
