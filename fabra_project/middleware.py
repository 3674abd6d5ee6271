"""Django's own middleware on the event loop, for the web process.

Under ASGI Django runs each hook of its middleware in a thread, thirteen hops for a chat. They compute, and do not
wait, but for the few cases named here, which keep their thread.
"""

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware import clickjacking, common, csrf, security


class InPlace:
    """Calls `process_request` and `process_response` where the request is."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        hooks: Any = self
        response = hooks.process_request(request) if hasattr(hooks, "process_request") else None
        response = response or await hooks.get_response(request)
        if not hasattr(hooks, "process_response"):
            return response
        if self.may_wait(request):
            return await sync_to_async(hooks.process_response)(request, response)
        return hooks.process_response(request, response)

    def may_wait(self, request: HttpRequest) -> bool:
        """Whether `process_response` may do I/O."""
        return False


class SecurityMiddleware(InPlace, security.SecurityMiddleware):
    pass


class SessionMiddleware(InPlace, sessions.SessionMiddleware):
    def may_wait(self, request: HttpRequest) -> bool:
        return request.session.modified or settings.SESSION_SAVE_EVERY_REQUEST


class CommonMiddleware(InPlace, common.CommonMiddleware):
    pass


class CsrfViewMiddleware(InPlace, csrf.CsrfViewMiddleware):
    async def process_view(self, request: HttpRequest, callback: Any, *args: Any) -> Any:  # type: ignore[override]
        if request.method != "POST" or getattr(callback, "csrf_exempt", False):
            return super().process_view(request, callback, *args)
        return await sync_to_async(super().process_view)(request, callback, *args)  # it reads the form


class AuthenticationMiddleware(InPlace, auth.AuthenticationMiddleware):
    pass


class MessageMiddleware(InPlace, messages.MessageMiddleware):
    def may_wait(self, request: HttpRequest) -> bool:
        storage: Any = getattr(request, "_messages", None)
        return storage is not None and (storage.used or storage.added_new)  # it may write the session


class XFrameOptionsMiddleware(InPlace, clickjacking.XFrameOptionsMiddleware):
    pass
