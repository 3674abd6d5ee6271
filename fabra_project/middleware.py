"""Django's own middleware without a thread for each hook.

Django runs the hooks of its synchronous middleware in a thread, one hop each. These do no I/O, so they run in
place; a chat would otherwise pay eight hops.
"""

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware import clickjacking, common, csrf, security


class InPlace:
    """Calls `process_request` and `process_response` on the event loop."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        hooks: Any = self
        response = hooks.process_request(request) if hasattr(self, "process_request") else None
        response = response or await hooks.get_response(request)
        return hooks.process_response(request, response)


class SecurityMiddleware(InPlace, security.SecurityMiddleware):
    pass


class CommonMiddleware(InPlace, common.CommonMiddleware):
    pass


class XFrameOptionsMiddleware(InPlace, clickjacking.XFrameOptionsMiddleware):
    pass


class CsrfViewMiddleware(InPlace, csrf.CsrfViewMiddleware):
    async def process_view(self, *args: Any) -> Any:  # type: ignore[override]
        return super().process_view(*args)


class SessionMiddleware(sessions.SessionMiddleware):
    """Saves in a thread, and only a session that was used; opening one reads nothing yet."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        self.process_request(request)
        response = await self.get_response(request)  # type: ignore[misc]
        if not (request.session.accessed or request.session.modified or self.has_cookie(request)):
            return response
        return await sync_to_async(self.process_response)(request, response)

    @staticmethod
    def has_cookie(request: HttpRequest) -> bool:
        return settings.SESSION_COOKIE_NAME in request.COOKIES
