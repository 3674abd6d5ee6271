"""Errors in OpenAI's shape, which its SDKs read: `{"error": {"message", "type", "param", "code"}}`."""

from typing import Any

from rest_framework.response import Response

from chat.api.errors import handle_exception as describe_response
from chat.error_descriptions import describe, error_body
from chat.paths import own_path
from common.errors import InvalidInput, NotFound

PREFIX = "/v1/"
_WORTH_WAITING_S = 60
"""A client that tries again by itself does not wait longer than that."""
_TYPES = {
    401: "authentication_error", 402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error",
}  # fmt: skip
# Our code, and what OpenAI has for it: status, code and parameter.
_AS_OPENAI: dict[str, tuple[int | None, str, str | None]] = {
    "rate_limited": (None, "rate_limit_exceeded", None),
    "message_too_long": (400, "context_length_exceeded", "messages"),
    "invalid_message": (None, "invalid_value", "messages"),
    "user_forbidden": (None, "user_forbidden", "user"),
    "context_forbidden": (404, "model_not_found", "model"),
    "context_disabled": (None, "context_disabled", "model"),
    "budget_exhausted": (None, "insufficient_quota", None),
}
# Failures behind our own retries, and what the same request meets again.
_NOT_AGAIN = (409, 502, 504)
_AGAIN = "idempotency_in_progress"
"""The answer to the first request comes soon."""


class InvalidParameter(InvalidInput):
    """A parameter of the request cannot be used."""

    code = "invalid_value"

    def __init__(self, message: str, param: str, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.param, self.code = param, code


class ModelNotFound(NotFound):
    """There is no such model, or the key may not use it."""

    code, param = "model_not_found", "model"


def handle_exception(error: Exception, context: dict[str, Any]) -> Response:
    """Return the response to an error; it is DRF's exception handler of the views below `/v1/`."""
    response = describe_response(error, context)
    detail = response.data["error"]
    status, code, param = _as_openai(response.status_code, detail["code"], getattr(error, "param", None))
    response.status_code, response.data = status, openai_error(status, code, detail["message"], param)
    if code == _AGAIN:
        return response
    if status in _NOT_AGAIN or int(response.headers.get("Retry-After", 0)) > _WORTH_WAITING_S:
        response.headers["X-Should-Retry"] = "false"  # the SDKs of OpenAI heed it
    return response


def error_of(error: Exception) -> dict[str, Any]:
    """Return the body of an error that comes when the status line is sent already."""
    status, code, message = describe(error)
    status, code, param = _as_openai(status, code, None)
    return openai_error(status, code, message, param)


def openai_error(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def body_at(path: str, status: int, code: str, message: str) -> dict[str, Any]:
    """Return the body of an error in the shape that the clients of an address read."""
    return openai_error(status, code, message) if own_path(path).startswith(PREFIX) else error_body(code, message)


def _as_openai(status: int, code: str, param: str | None) -> tuple[int, str, str | None]:
    new_status, new_code, new_param = _AS_OPENAI.get(code, (None, code, None))
    return new_status or status, new_code, param or new_param
