"""The middleware that knows the bot's pages."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.decorators import sync_and_async_middleware

from chat.audit.middleware import audited
from chat.embed.cross_origin import cross_origin
from chat.embed.framing import FRAMED_BY
from chat.paths import own_path
from chat.serving.page_policies import MORE, SECURE_CSP
from common.middleware import DataErrorMiddleware, no_store

_FOR_CUSTOMERS = ("/b/", "/login/", "/logout/", "/chat", "/embed", "/api/conversations/", "/api/messages/", "/v1/chat/")
"""What speaks the reader's language, beside the chat page itself; the admin and the rest of the API are in one."""


@sync_and_async_middleware
def customers_language(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answer customers in the language of their browser, as Django's LocaleMiddleware does for a whole site."""
    if iscoroutinefunction(get_response):

        async def answer(request: HttpRequest) -> Any:
            if not _is_for_customers(request):
                return await get_response(request)
            with translation.override(translation.get_language_from_request(request)):
                return _marked(await get_response(request))

        return answer

    def answer_now(request: HttpRequest) -> Any:
        if not _is_for_customers(request):
            return get_response(request)
        with translation.override(translation.get_language_from_request(request)):
            return _marked(get_response(request))

    return answer_now


def _is_for_customers(request: HttpRequest) -> bool:
    path = own_path(request.path_info)
    return path == "/" or path.startswith(_FOR_CUSTOMERS)


def _marked(response: Any) -> Any:
    response.headers.setdefault("Content-Language", translation.get_language())
    patch_vary_headers(response, ("Accept-Language",))
    return response


class PagePolicies(CSPMiddleware):
    """Send the content security policy of SECURE_CSP, with what the pages below a path of MORE need instead.

    A response may name the sites that may frame it; see `chat.embed.framing`.
    """

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if not settings.FABRA_OWN_PROJECT and not report_only:
            parts.config = SECURE_CSP  # not what the project has for its own pages
        own = own_path(request.path_info)
        for path, directives in MORE.items():
            if own.startswith(path) and not report_only:
                parts.replace = directives | (parts.replace or {})
        if sites := getattr(response, FRAMED_BY, None):
            parts.replace = (parts.replace or {}) | {"frame-ancestors": sites}
        return parts


_OF_BOT = (PagePolicies, no_store, cross_origin, customers_language, audited, DataErrorMiddleware)
"""What the settings of a project of the bot's own name one by one; the first is the outermost."""


@sync_and_async_middleware
def bot_pages(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Apply the bot's middleware to the bot's pages, and nothing to any other page of the project around it."""
    wrapped = get_response
    for middleware in reversed(_OF_BOT):
        wrapped = middleware(wrapped)
    if iscoroutinefunction(get_response):

        async def answer(request: HttpRequest) -> Any:
            return await (wrapped if own_path(request.path_info) else get_response)(request)

        return answer
    return lambda request: (wrapped if own_path(request.path_info) else get_response)(request)
