"""The errors that a model's server tells, by a status or in a body, and the names and numbers in them."""

from typing import Any

from chat.errors import ModelError, ModelRefused, ModelTimeout
from common.text import single_line, storable

_NAME_MAX_CHARS = 200
MOST_TOKENS = 10_000_000
"""Of one call, twice the largest window there is; a server that tells more has not counted."""


def name_of(value: Any) -> str:
    """Return a name that a server sends, of a model, a reason or an error, as a line that fits a column."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return ""
    return single_line(storable(str(value)[: 2 * _NAME_MAX_CHARS]))[:_NAME_MAX_CHARS]


def error_of(status: int, code: str) -> ModelError:
    """Return the error that a server tells by an HTTP status; `code` is what it calls it, such as `model_not_found`."""
    found: ModelError
    if status in (408, 504):
        found = ModelTimeout()
    elif 400 <= status < 500:
        found = ModelRefused(f"The language model's server refused the request with status {status}.")
    else:
        found = ModelError(f"The language model's server failed with status {status}.")
    found.status, found.why = status, code
    # As OpenAI's own SDK: 409 is a lock that was not free. A quota that is used up is a 429 that no wait ends.
    found.may_retry = (status in (408, 409, 429) or status >= 500) and code != "insufficient_quota"
    found.is_of_request = status in (400, 413, 422)
    return found


def error_in(told: Any) -> ModelError:
    """Return the error that a body with a good status reports; gateways put the status of the other one into it."""
    code = told.get("code") if isinstance(told, dict) else None
    status = count_of(code)
    if 400 <= status < 600:
        return error_of(status, name_of(told.get("type"))[:100])
    error = ModelError("The language model's server answered with an error.")
    error.why = name_of(code)[:100]
    return error


def is_error(body: dict[str, Any]) -> bool:
    """Return whether a body reports an error; not all servers put it into `error`."""
    if body.get("error") or body.get("error_code") or body.get("object") == "error":
        return True
    return "choices" not in body and bool(body.get("message") or body.get("detail"))


def count_of(value: Any) -> int:
    """Return a count that a server tells, in whatever type; 0 for what is none."""
    try:
        return max(0, int(float(value)))
    except (TypeError, ValueError):
        return 0
    except OverflowError:
        return MOST_TOKENS + 1
