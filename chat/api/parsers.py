"""The API's JSON parser: it accepts an object in UTF-8 of bounded size and depth."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from common.validation import MAX_DEPTH, is_deeper

_MAX_DEPTH = MAX_DEPTH + 20


class RequestTooLarge(APIException):
    status_code = 413
    default_detail = "The request's body is too large."
    default_code = "request_too_large"


class StrictJSONParser(BaseParser):
    """Parse a JSON object; refuse NaN, names that are given twice, and input that is nested too deep to parse."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        limit = settings.FABRA_MAX_REQUEST_BYTES
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise RequestTooLarge
        return parse_object(raw)


def parse_object(raw: bytes, what: str = "body") -> dict[str, Any]:
    """Return the JSON object, which may have a byte order mark before it; raise ParseError."""
    try:
        value = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse, object_pairs_hook=_without_doubles)
    except UnicodeDecodeError:
        raise ParseError(f"The {what} is not UTF-8.", code="invalid_json") from None
    except RecursionError:
        raise ParseError(f"The {what} is nested too deep.", code="invalid_json") from None
    except _GivenTwice as twice:
        raise ParseError(f"The {what} has {str(twice)[:100]!r} twice in one object.", code="invalid_json") from None
    except ValueError as error:
        position = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise ParseError(f"The {what} is no valid JSON{position}.", code="invalid_json") from None
    # What validates and writes it recurses, by more frames than the parser: whether that is too deep must not depend on
    # how deep the stack is there. Below the limit each value says by itself that it is too deep.
    if raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH and is_deeper(value, _MAX_DEPTH):
        raise ParseError(f"The {what} is nested deeper than {_MAX_DEPTH} levels.", code="invalid_json")
    if not isinstance(value, dict):
        raise ParseError(f"The {what} must be a JSON object.", code="invalid_json")
    return value


class _GivenTwice(Exception):
    """An object has this name twice."""


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object; raise _GivenTwice: of two audiences one would be left out without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _GivenTwice(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
