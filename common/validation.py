"""Checks that PostgreSQL can store a text or JSON value, made where the value enters."""

import json
from typing import Any

from common.errors import InvalidInput

KEY_MAX_CHARS = 255


def check_text(text: Any, what: str) -> str:
    """Return `text`; raise InvalidInput unless it is a string that PostgreSQL can store."""
    if not isinstance(text, str):
        raise InvalidInput(f"{what} must be a string.")
    if "\x00" in text:
        raise InvalidInput(f"{what} must not contain NUL characters.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} is not valid Unicode (it has a lone surrogate).") from None
    return text


def check_key(key: Any, what: str) -> str:
    """Return `key`; raise InvalidInput unless it is 1 to 255 storable characters and not blank."""
    check_text(key, what)
    if not key.strip():
        raise InvalidInput(f"{what} must not be empty.")
    if len(key) > KEY_MAX_CHARS:
        raise InvalidInput(f"{what} must have at most {KEY_MAX_CHARS} characters.")
    return key


def to_json(value: Any, what: str) -> str:
    """Return canonical JSON: sorted keys, no spaces, no NaN; raise InvalidInput for what JSON cannot express."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{what} cannot be written as JSON: {type(error).__name__}.") from None
    check_text(text, what)
    # ensure_ascii=False still escapes NUL, which jsonb refuses.
    if "\\u0000" in text and _has_nul(value):
        raise InvalidInput(f"{what} must not contain NUL characters.")
    return text


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(k) or _has_nul(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return any(_has_nul(v) for v in value)
    return False
