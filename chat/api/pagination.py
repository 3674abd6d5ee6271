"""Keyset pagination: every page costs the same, and the table is never counted."""

from typing import Any

from django.core.exceptions import ValidationError
from rest_framework.pagination import CursorPagination

from common.errors import InvalidInput


class KeysetPagination(CursorPagination):
    ordering = "-id"
    page_size_query_param = "page_size"
    max_page_size = 200

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        """Return the rows of the page; raise InvalidInput for a cursor whose position is no key."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError):
            raise InvalidInput("cursor is not one that this list gave; leave it out to begin again.") from None
