"""Sign-ins are throttled by django-axes: what is counted, where it comes from, and the page of who is locked out."""

from typing import Any

from axes.backends import AxesStandaloneBackend
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_parameters, get_client_username
from axes.models import AccessLog
from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from chat.access.permissions import address_of as client_of
from chat.bots.look import logo_url, read_bot
from common.client_address import sender_of

ALONE = 10
"""An address, whatever names it tries, and a name, wherever it is tried, may fail so many times as often as a name at
an address: behind one address may be a whole company, and nobody is to lock others out by failing for them."""


class ThrottlingHandler(AxesDatabaseHandler):
    """Count the failures of a user name at an address, and of each of the two alone."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Return the failures that count against FABRA_SIGN_IN_FAILURES.

        Whoever signed in from the address before is not locked out by what others try with the name elsewhere.
        """
        found = self.get_user_attempts(request, credentials)  # in the order of AXES_LOCKOUT_PARAMETERS
        pair, address, name = (attempts.aggregate(sum=Sum("failures_since_start"))["sum"] or 0 for attempts in found)
        counted = counted_failures(pair, address, 0)
        if counted_failures(0, 0, name) <= counted:
            return counted
        seen = AccessLog.objects.filter(**self._pair_of(request, credentials))
        return counted if seen.exists() else counted_failures(pair, address, name)

    def reset_user_attempts(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Forget the failures of the name at its address only: a guesser with an account of their own gains nothing."""
        pair, *_ = self.filter_user_attempts(request, credentials)
        return int(pair.delete()[0])

    def _pair_of(self, request: HttpRequest, credentials: dict[str, Any] | None) -> dict[str, Any]:
        username = get_client_username(request, credentials)
        return get_client_parameters(username, request.axes_ip_address, "", request, credentials)[0]  # type: ignore[attr-defined]


def counted_failures(pair: int, address: int, name: int) -> int:
    """Return the failures of a name at an address, or, of either alone, a tenth of them if that is more."""
    return max(pair, address // ALONE, name // ALONE)


class ThrottledBackend(AxesStandaloneBackend):
    """Refuse who is locked out before any password is checked; code that signs in without a request is our own."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        if request is not None:
            super().authenticate(request, **credentials)


def address_of(request: HttpRequest) -> str | None:
    """Return what failures are counted by; an IPv6 sender owns its whole /64."""
    return sender_of(client_of(request.META)) or None


def locked_out(request: HttpRequest, *args: Any) -> HttpResponse:
    """Return the page of who failed too often; axes calls this with two or three arguments."""
    wait = settings.AXES_COOLOFF_TIME
    minutes = max(1, round(wait.total_seconds() / 60))
    response = render(request, "chat/locked_out.html", {"minutes": minutes, "logo": logo_url(read_bot())}, status=429)
    response["Retry-After"] = str(int(wait.total_seconds()))
    return response
