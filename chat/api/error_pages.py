"""Errors outside the API's views, in the API's error format."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from chat.openai_api.errors import body_at


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    return JsonResponse(body_at(request.path, 400, "bad_request", "The request cannot be read."), status=400)


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    return JsonResponse(body_at(request.path, 404, "not_found", "There is nothing at this address."), status=404)


def server_error(request: HttpRequest) -> JsonResponse:
    return JsonResponse(body_at(request.path, 500, "internal_error", "Something went wrong on our side."), status=500)
