"""Keyset pagination: every page costs the same, and the table is never counted."""

import re
from typing import Any

from django.core.exceptions import ValidationError
from rest_framework.exceptions import NotFound as DRFNotFound
from rest_framework.pagination import CursorPagination

from common.errors import InvalidInput, NotFound


class KeysetPagination(CursorPagination):
    ordering: str | tuple[str, ...] = "-id"
    page_size_query_param = "page_size"
    max_page_size = 200

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        """Return the rows of the page; raise NotFound for a cursor that no list gave."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError, DRFNotFound):
            raise NotFound("cursor is not one that this list gave; leave it out to begin again.") from None

    def get_page_size(self, request: Any) -> int | None:
        """Return the rows of a page, at most 200; raise InvalidInput for what is no number."""
        given = request.query_params.get(self.page_size_query_param)
        if given is not None and not re.fullmatch(r"0*[1-9][0-9]{0,1000}", given):
            raise InvalidInput("page_size must be a whole number from 1 on.")
        return super().get_page_size(request)
