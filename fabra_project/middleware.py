"""The middleware that knows the project's pages."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.decorators import sync_and_async_middleware

from chat.embed.framing import FRAMED_BY
from fabra_project.page_policies import MORE

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
    return request.path_info == "/" or request.path_info.startswith(_FOR_CUSTOMERS)


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
        for path, directives in MORE.items():
            if request.path_info.startswith(path) and not report_only:
                parts.replace = directives | (parts.replace or {})
        if sites := getattr(response, FRAMED_BY, None):
            parts.replace = (parts.replace or {}) | {"frame-ancestors": sites}
        return parts
