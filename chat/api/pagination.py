"""Keyset pagination: every page costs the same, and the table is never counted."""

import base64
import binascii
import re
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from rest_framework.exceptions import NotFound as DRFNotFound
from rest_framework.pagination import CursorPagination
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from chat.api.parameters import moment
from chat.errors import InvalidCursor
from common.errors import InvalidInput
from retrieval.changes import changed_after, complete_until


class KeysetPagination(CursorPagination):
    ordering: str | tuple[str, ...] = "-id"
    page_size = 50
    cursor_query_param = "cursor"
    page_size_query_param = "page_size"
    max_page_size = 200

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        """Return the rows of the page; raise InvalidCursor for a cursor that no list gave."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError, DRFNotFound):
            raise InvalidCursor from None

    def get_page_size(self, request: Any) -> int | None:
        """Return the rows of a page, at most 200; raise InvalidInput for what is no number."""
        given = request.query_params.get(self.page_size_query_param)
        if given is not None and not re.fullmatch(r"0*[1-9][0-9]{0,1000}", given):
            raise InvalidInput("page_size must be a whole number from 1 on.")
        return super().get_page_size(request)


class ChangesPagination(KeysetPagination):
    """The newest first; with `updated_since` the changes since then, the oldest first, deleted documents included.

    Its last page tells by `updated_until` from where to ask the next time. Changes have no page before: a document that
    changes again leaves the page where it was listed.
    """

    _until: datetime | None = None
    _next: str | None = None

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        if "updated_since" not in request.query_params:
            return super().paginate_queryset(queryset, request, view)
        cursor = request.query_params.get(self.cursor_query_param)
        since = None if cursor else moment(request, "updated_since")
        position = _position_of(cursor or "") if since is None else (since, 0)
        size = self.get_page_size(request) or 0
        self._until = complete_until()
        rows = list(changed_after(queryset, position, self._until)[: size + 1])
        if len(rows) > size:
            last = rows[size - 1]
            url = request.build_absolute_uri()
            self._next = replace_query_param(url, self.cursor_query_param, _cursor_of(last.updated_at, last.pk))
        return rows[:size]

    def get_paginated_response(self, data: Any) -> Response:
        if self._until is None:
            return super().get_paginated_response(data)
        return Response({"next": self._next, "previous": None, "results": data, "updated_until": self._until})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        whole = super().get_paginated_response_schema(schema)
        whole["properties"]["previous"]["description"] = "Null with `updated_since`: changes are read forwards only."
        whole["properties"]["updated_until"] = {
            "type": "string",
            "format": "date-time",
            "example": "2026-02-01T09:30:00Z",
            "description": "With `updated_since`: all changes before it are listed; ask from here the next time.",
        }
        return whole


def _cursor_of(moment: datetime, pk: int) -> str:
    return base64.urlsafe_b64encode(f"{moment.isoformat()} {pk}".encode()).decode()


def _position_of(cursor: str) -> tuple[datetime, int]:
    try:
        moment, pk = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        position = datetime.fromisoformat(moment), int(pk)
    except (ValueError, binascii.Error):
        raise InvalidCursor from None
    if position[0].tzinfo is None or not 0 <= position[1] < 2**63:
        raise InvalidCursor
    return position
