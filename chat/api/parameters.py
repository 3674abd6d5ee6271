"""Parameters of addresses, read and checked."""

import json
import re
from typing import Any

from django.conf import settings
from rest_framework.request import Request

from chat.api.auth import caller_of
from common.errors import InvalidInput
from retrieval.indexing.document_input import check_index_name


def index_name(request: Request) -> str:
    """Return the index that is meant; raise InvalidInput or IndexForbidden."""
    name = request.query_params.get("index_name") or settings.FABRA_DEFAULT_INDEX
    return caller_of(request).check_index(check_index_name(name))


def json_object(text: str, what: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
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
