"""Where a document's version was used: the rooms above tell, since this one does not know them."""

from collections.abc import Callable

from django.utils.html import format_html_join

from retrieval.models import DocumentVersion

Use = Callable[[DocumentVersion], str]

_uses: list[Use] = []


def tells_use(function: Use) -> Use:
    """Have the page of a version show what `function` returns for it, as HTML."""
    _uses.append(function)
    return function


def uses_of(version: DocumentVersion) -> str:
    return format_html_join("", "{}", ((tell(version),) for tell in _uses)) or "–"
