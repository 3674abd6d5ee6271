"""Errors outside the API's views, in the API's error format."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from chat.openai_api.errors import body_at


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    return _error(request, 400, "bad_request", "The request cannot be read.")


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    return _error(request, 404, "not_found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> JsonResponse:
    return _error(request, 500, "internal_error", "Something went wrong on our side.")


def _error(request: HttpRequest, status: int, code: str, message: str) -> JsonResponse:
    return JsonResponse(body_at(request.path_info, status, code, message), status=status)
