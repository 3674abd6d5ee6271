"""Errors as the API tells them: an HTTP status, a stable code and one sentence."""

import logging
import traceback
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DatabaseError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from chat import errors as chat_errors
from chat.api.freshness import freshness_headers
from common import errors
from contexts.errors import AssemblyError, FreshnessViolation
from events import errors as event_errors
from retrieval.errors import DocumentTooLarge

logger = logging.getLogger(__name__)

# The first class that fits decides, so the special ones come first.
STATUS: list[tuple[type[Exception], int]] = [
    (chat_errors.RateLimited, 429),
    (chat_errors.ModelTimeout, 504),
    (chat_errors.DeadlineExceeded, 504),
    (chat_errors.ModelError, 502),
    (chat_errors.MessageTooLong, 413),
    (event_errors.EventTooLarge, 413),
    (event_errors.BatchTooLarge, 413),
    (DocumentTooLarge, 413),
    (event_errors.EventConflict, 409),
    (event_errors.WebhookRefused, 401),
    (errors.InvalidInput, 400),
    (errors.NotFound, 404),
    (AssemblyError, 500),
    (errors.Unavailable, 503),
    (errors.FabraError, 500),
]


def status_of(error: Exception) -> int:
    if isinstance(error, event_errors.BatchRefused):
        found = {status_of(reason) for _, reason in error.items}
        return found.pop() if len(found) == 1 else 400
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def describe(error: Exception) -> tuple[int, str, str]:
    """Return the HTTP status, code and sentence for any exception, telling nothing of the inside."""
    if isinstance(error, errors.FabraError):
        return status_of(error), error.code, str(error)
    if isinstance(error, exceptions.APIException):
        return error.status_code, _code_of(error), _sentence_of(error)
    if isinstance(error, Http404):
        return 404, "not_found", "There is nothing here."
    if isinstance(error, PermissionDenied):
        return 403, "permission_denied", "This is not allowed."
    if isinstance(error, RequestDataTooBig):
        return 413, "request_too_large", "The request's body is too large."
    if isinstance(error, DatabaseError):
        logger.error("PostgreSQL failed: %s", type(error).__name__)
        return 503, "database_unavailable", "The database does not answer; try again shortly."
    place = traceback.extract_tb(error.__traceback__)[-1]
    logger.error("Unexpected %s in %s, line %d", type(error).__name__, place.name, place.lineno or 0)
    return 500, "internal_error", "Something went wrong on our side; it was logged."


def headers_of(error: Exception) -> dict[str, str]:
    if isinstance(error, chat_errors.RateLimited):
        return error.admission.headers() | {"Retry-After": str(error.admission.retry_after_s)}
    if isinstance(error, FreshnessViolation):
        return freshness_headers(error.report)
    if isinstance(error, exceptions.APIException) and getattr(error, "auth_header", None):
        return {"WWW-Authenticate": error.auth_header}  # type: ignore[attr-defined]
    return {}


def error_body(code: str, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **more}}


def _more_of(error: Exception) -> dict[str, Any]:
    if not isinstance(error, event_errors.BatchRefused):
        return {}
    return {"items": [{"position": at, "code": why.code, "message": str(why)} for at, why in error.items]}


def handle_exception(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler."""
    status, code, message = describe(error)
    return Response(error_body(code, message, **_more_of(error)), status=status, headers=headers_of(error))


def _code_of(error: exceptions.APIException) -> str:
    if isinstance(error, exceptions.ValidationError):
        return "invalid_input"
    codes = error.get_codes()
    return codes if isinstance(codes, str) else error.default_code


def _sentence_of(error: exceptions.APIException) -> str:
    if isinstance(error, exceptions.NotAuthenticated):
        return "Send an API key, as `Authorization: Bearer fabra_…`."
    if not isinstance(error, exceptions.ValidationError):
        return str(error.detail)
    return validation_sentence(error.detail)


def validation_sentence(detail: Any) -> str:
    return " ".join(_sentences(detail, ""))


def _sentences(detail: Any, name: str) -> list[str]:
    if isinstance(detail, dict):
        return [text for key, value in detail.items() for text in _sentences(value, f"{name}.{key}".lstrip("."))]
    if isinstance(detail, list):
        return [text for value in detail for text in _sentences(value, name)]
    return [f"{name}: {detail}" if name and name != "non_field_errors" else str(detail)]
