"""Show where a document's version was used, by functions that higher apps register."""

from collections.abc import Callable

from django.utils.html import format_html_join

from retrieval.models import DocumentVersion

UsageView = Callable[[DocumentVersion], str]

_views: list[UsageView] = []


def register_usage_view(function: UsageView) -> UsageView:
    """Register a function that returns, as HTML, the uses of a version; the version's page shows it."""
    _views.append(function)
    return function


def usage_of(version: DocumentVersion) -> str:
    return format_html_join("", "{}", ((view(version),) for view in _views)) or "–"
