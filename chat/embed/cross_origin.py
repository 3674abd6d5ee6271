"""Let pages of a public key's origins call the API of the chat themselves (CORS).

No cookie comes with such a call, so the key and the site's token are all that it can do something with.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers
from django.utils.decorators import sync_and_async_middleware

from chat.access.origins import is_one_of
from chat.error_descriptions import error_body
from chat.models import ApiKey
from chat.paths import own_path

_PATHS = ("/chat", "/api/conversations/", "/api/messages/")
_BEARER = f"Bearer {ApiKey.PREFIXES[ApiKey.Kind.PUBLIC]}"
_ANSWER = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, X-Fabra-User",
    "Access-Control-Max-Age": "600",
}
_READABLE = (
    "Content-Language, Idempotent-Replayed, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
)


@sync_and_async_middleware
def cross_origin(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answer a browser that asks before a call, and let its page read the answer to one with a public key."""
    if iscoroutinefunction(get_response):

        async def answer(request: HttpRequest) -> Any:
            if is_preflight(request):
                return await sync_to_async(permission_for)(request)
            return _readable(request, await get_response(request))

        return answer

    def answer_now(request: HttpRequest) -> Any:
        return permission_for(request) if is_preflight(request) else _readable(request, get_response(request))

    return answer_now


def is_preflight(request: HttpRequest) -> bool:
    is_asking = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    return is_asking and "Origin" in request.headers and own_path(request.path_info).startswith(_PATHS)


def permission_for(request: HttpRequest) -> HttpResponse:
    """Return the answer to a page of an origin: it may call, if some public key is for it."""
    origin = request.headers["Origin"]
    keys = ApiKey.objects.usable().filter(kind=ApiKey.Kind.PUBLIC)
    if any(is_one_of(origin, origins) for origins in keys.values_list("origins", flat=True)):
        return HttpResponse(status=204, headers={"Access-Control-Allow-Origin": origin, "Vary": "Origin", **_ANSWER})
    message = f"No public key is for pages of {origin}; add it to the origins of the key."
    return JsonResponse(error_body("origin_forbidden", message), status=403)


def _readable(request: HttpRequest, response: Any) -> Any:
    """Let the page read an answer to a public key, and also why it was refused."""
    if "Origin" in request.headers and request.headers.get("Authorization", "").startswith(_BEARER):
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = _READABLE
        patch_vary_headers(response, ("Origin",))
    return response
