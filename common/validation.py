"""Checks that PostgreSQL can store a text or JSON value, made where the value enters."""

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from common.errors import InvalidInput

KEY_MAX_CHARS = 255
BLANKS = (
    r"\u0000-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
)
"""Controls, white space and what shows nothing (zero-width, fillers, selectors, byte order mark), as the inside of a
class of a regular expression, which the API's schema has too; a text of nothing else is blank."""
_VISIBLE = re.compile(f"[^{BLANKS}]")
MAX_DEPTH = 100
"""The most levels of nested JSON: PostgreSQL and Python stop at about 1,000, and a page that shows it well before."""
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
"""Unicode's categories of controls, formats, surrogates and separators."""
_SELECTORS = frozenset(map(chr, range(0xE0100, 0xE01F0)))
"""Signs of another category that are drawn as nothing, as those of BLANKS are."""


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


def is_blank(text: str) -> bool:
    """Return whether nothing of the text can be seen."""
    return not _VISIBLE.search(text)


def check_key(key: Any, what: str, max_chars: int = KEY_MAX_CHARS) -> str:
    """Return `key`; raise InvalidInput unless it is 1 to `max_chars` storable characters and not blank."""
    check_text(key, what)
    if is_blank(key):
        raise InvalidInput(f"{what} must not be empty.")
    if len(key) > max_chars:
        raise InvalidInput(f"{what} must have at most {max_chars} characters.")
    return key


def check_identity(key: Any, what: str) -> str:
    """Return the id of a user, or of another entity, in Unicode's form NFC; its case is kept.

    Two ids that look alike must be one id, so raise InvalidInput for what `check_key` refuses, for white space at
    either end, and for signs that cannot be seen: controls, formats such as zero-width ones, and any space but U+0020.
    """
    check_text(key, what)
    key = check_key(unicodedata.normalize("NFC", key), what)
    if key != key.strip():
        raise InvalidInput(f"{what} must not begin or end with white space.")
    for sign in key:
        if sign != " " and (is_blank(sign) or sign in _SELECTORS or unicodedata.category(sign) in _INVISIBLE):
            raise InvalidInput(f"{what} must not contain the invisible sign U+{ord(sign):04X}.")
    return key


def to_json(value: Any, what: str) -> str:
    """Return canonical JSON: sorted keys, no spaces, no NaN; raise InvalidInput for what JSON cannot express."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{what} cannot be written as JSON: {type(error).__name__}.") from None
    check_text(text, what)
    # Only what has more brackets than that can be nested deeper.
    if text.count("[") + text.count("{") > MAX_DEPTH and is_deeper(value, MAX_DEPTH):
        raise InvalidInput(f"{what} must not be nested deeper than {MAX_DEPTH} levels.")
    # ensure_ascii=False still escapes NUL, which jsonb refuses.
    if "\\u0000" in text and _has_nul(value):
        raise InvalidInput(f"{what} must not contain NUL characters.")
    return text


def is_deeper(value: Any, depth: int) -> bool:
    """Return whether JSON is nested deeper than that, without recursion."""
    level = [value]
    for _ in range(depth):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return any(isinstance(child, dict | list | tuple) for child in level)


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(k) or _has_nul(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return any(_has_nul(v) for v in value)
    return False
