"""The API's JSON parser: it accepts an object in UTF-8 of bounded size and depth."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from common.strict_json import NotJSON, parse_json
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
        value = parse_json(raw)
    except NotJSON as error:
        raise ParseError(f"The {what} {error}.", code="invalid_json") from None
    # What validates and writes it recurses, by more frames than the parser: whether that is too deep must not depend on
    # how deep the stack is there. Below the limit each value says by itself that it is too deep.
    if raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH and is_deeper(value, _MAX_DEPTH):
        raise ParseError(f"The {what} is nested deeper than {_MAX_DEPTH} levels.", code="invalid_json")
    if not isinstance(value, dict):
        raise ParseError(f"The {what} must be a JSON object.", code="invalid_json")
    return value
