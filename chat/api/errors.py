"""Error responses of the REST API."""

from typing import Any

from rest_framework import exceptions
from rest_framework.response import Response

from chat.error_descriptions import describe, error_body, headers_of
from chat.errors import CostBudgetExhausted
from common.text import storable
from events import errors as event_errors


def _more_of(error: Exception) -> dict[str, Any]:
    if isinstance(error, CostBudgetExhausted):
        budget = error.budget
        return {"budget": budget.scope, "period": budget.period, "resets_at": budget.resets_at.isoformat()}
    if not isinstance(error, event_errors.BatchRefused):
        return {}
    items = [{"position": position, "code": reason.code, "message": str(reason)} for position, reason in error.items]
    return {"items": items}


def handle_exception(error: Exception, context: dict[str, Any]) -> Response:
    """Return the response to an error; it is DRF's exception handler."""
    headers = headers_of(error)
    if isinstance(error, exceptions.APIException):
        status, code, message = error.status_code, _code_of(error), _sentence_of(error)
        if authenticate := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = authenticate
    else:
        status, code, message = describe(error)
    return Response(error_body(code, message, **_more_of(error)), status=status, headers=headers)


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
    """Return the sentence; some repeat the value, which may hold a lone surrogate that no answer can."""
    return storable(" ".join(_sentences(detail, "")))


def _sentences(detail: Any, name: str) -> list[str]:
    if isinstance(detail, dict):
        return [text for key, value in detail.items() for text in _sentences(value, f"{name}.{key}".lstrip("."))]
    if isinstance(detail, list):
        return [text for value in detail for text in _sentences(value, name)]
    return [f"{name}: {detail}" if name and name != "non_field_errors" else str(detail)]
