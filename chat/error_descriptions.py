"""Errors as clients get them, over HTTP and WebSocket: a status, a stable code and one sentence."""

import logging
import traceback
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, DataError
from django.http import Http404

from chat import errors as chat_errors
from chat.freshness_headers import freshness_headers
from chat.limits.admission import RateLimited
from common import errors
from common.full_disk import note_full_disk
from contexts.errors import AssemblyError, FreshnessViolation
from events import errors as event_errors
from features.errors import FeatureValueRefused
from retrieval.errors import DocumentChanged, DocumentTooLarge

logger = logging.getLogger(__name__)

# The first class that matches decides, so subclasses come before their base classes.
STATUS: list[tuple[type[Exception], int]] = [
    (RateLimited, 429),
    # Not 429: clients would try again by themselves, and no budget comes back within their patience.
    (chat_errors.CostBudgetExhausted, 402),
    (chat_errors.KeyForbidden, 403),
    (chat_errors.UserTokenRefused, 401),
    (chat_errors.AgentForbidden, 403),
    (chat_errors.IdempotencyKeyReused, 422),
    (chat_errors.AnswerErased, 410),
    (chat_errors.IdempotencyInProgress, 409),
    (chat_errors.ConversationConflict, 409),
    (chat_errors.ModelTimeout, 504),
    (chat_errors.DeadlineExceeded, 504),
    (chat_errors.ModelError, 502),
    (chat_errors.MessageTooLong, 413),
    (event_errors.EventTooLarge, 413),
    (event_errors.BatchTooLarge, 413),
    (DocumentTooLarge, 413),
    (DocumentChanged, 412),
    (event_errors.EventConflict, 409),
    (event_errors.WebhookRefused, 401),
    (errors.InvalidInput, 400),
    (errors.NotFound, 404),
    (AssemblyError, 500),
    (FeatureValueRefused, 500),
    (errors.Unavailable, 503),
    (errors.FabraError, 500),
]


def status_of(error: Exception) -> int:
    if isinstance(error, event_errors.BatchRefused):
        found = {status_of(reason) for _, reason in error.items}
        return found.pop() if len(found) == 1 else 400
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def describe(error: Exception) -> tuple[int, str, str]:
    """Return the HTTP status, code and sentence for any exception, without internal details."""
    if note_full_disk(error):
        logger.error("PostgreSQL failed: its disk is full.")
    if isinstance(error, errors.FabraError):
        return status_of(error), error.code, str(error)
    if isinstance(error, Http404):
        return 404, "not_found", "There is nothing here."
    if isinstance(error, PermissionDenied):
        return 403, "permission_denied", "This is not allowed."
    if isinstance(error, RequestDataTooBig):
        return 413, "request_too_large", "The request's body is too large."
    if isinstance(error, SuspiciousOperation):
        return 400, "invalid_request", "The request has too many fields, or is not one that a client would send."
    if isinstance(error, DataError | UnicodeEncodeError):  # the latter for a lone surrogate
        return 400, "invalid_input", "A value cannot be stored or compared: it is too long, too large or malformed."
    if isinstance(error, DatabaseError):
        logger.error("PostgreSQL failed: %s", type(error).__name__)
        return 503, "database_unavailable", "The database does not answer; try again shortly."
    frame = traceback.extract_tb(error.__traceback__)[-1]
    logger.error("Unexpected %s in %s, line %d", type(error).__name__, frame.name, frame.lineno or 0)
    return 500, "internal_error", "Something went wrong on our side; it was logged."


def headers_of(error: Exception) -> dict[str, str]:
    if isinstance(error, RateLimited):
        return error.admission.headers() | {"Retry-After": str(error.admission.retry_after_s)}
    if isinstance(error, chat_errors.IdempotencyInProgress | chat_errors.CostBudgetExhausted):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, FreshnessViolation):
        return freshness_headers(error.report)
    return {}


def error_body(code: str, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **more}}
