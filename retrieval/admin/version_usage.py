"""Show where a document's version was used, by functions that higher apps register."""

from collections.abc import Callable

from django.utils.html import format_html_join

from common.definitions import add_once
from retrieval.models import DocumentVersion

UsageView = Callable[[DocumentVersion], str]

_views: list[UsageView] = []
usage_needs: dict[str, str] = {}
"""The field of the version's page, with the permission that a registered function asks for."""


def register_usage_view(needs: str) -> Callable[[UsageView], UsageView]:
    """Register a function that returns, as HTML, the uses of a version; the version's page shows it.

    `needs` is the permission for the rows that it shows.
    """

    def register(function: UsageView) -> UsageView:
        add_once(_views, function)
        usage_needs["uses"] = needs
        return function

    return register


def usage_of(version: DocumentVersion) -> str:
    return format_html_join("", "{}", ((view(version),) for view in _views)) or "–"
