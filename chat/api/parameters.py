"""Parameters of addresses, read and checked."""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_datetime
from rest_framework.request import Request

from chat.api.auth import caller_of
from common.errors import InvalidInput
from common.strict_json import NotJSON, parse_json
from retrieval.indexing.document_input import check_index_name

Row = TypeVar("Row", bound=Model)


def index_name(request: Request) -> str:
    """Return the index that is meant; raise InvalidInput or IndexForbidden."""
    name = request.query_params.get("index_name") or settings.FABRA_DEFAULT_INDEX
    return caller_of(request).check_index(check_index_name(name))


def json_object(text: str, what: str) -> Any:
    try:
        value = parse_json(text)
    except NotJSON as error:
        raise InvalidInput(f"{what} {error}.") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} must be a JSON object.")
    return value


def whole_number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise InvalidInput(f"{name} must be a whole number.")
    return int(text)


def yes_or_no(request: Request, name: str, *, default: bool = False) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    text = request.query_params.get(name)
    if text is None:
        return default
    if text not in known:
        raise InvalidInput(f"{name} must be true or false.")
    return known[text]


def moment(request: Request, name: str) -> datetime | None:
    """Return a time in UTC; raise InvalidInput. A plus that was not encoded has become a space."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        given = parse_datetime(text.replace(" ", "+"))
        utc = given and (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        utc = None
    if utc is None:
        raise InvalidInput(f"{name} must be a time in ISO 8601, such as 2026-01-31T08:00:00Z.")
    return utc


def choice(request: Request, name: str, choices: Collection[str]) -> str | None:
    """Return one of the choices; raise InvalidInput."""
    text = request.query_params.get(name)
    if text is not None and text not in choices:
        raise InvalidInput(f"{name} must be one of {', '.join(choices)}.")
    return text


def within(request: Request, rows: QuerySet[Row], time: str) -> QuerySet[Row]:
    """Return the rows of the request's range of time, `since` up to `until`; raise InvalidInput."""
    since, until = moment(request, "since"), moment(request, "until")
    rows = rows if since is None else rows.filter(**{f"{time}__gte": since})
    return rows if until is None else rows.filter(**{f"{time}__lt": until})
