"""The traces that used a document version: a filter for the list of traces, and a table on the version's page."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from common.admin.html import badge, link, list_link, one_line, short, table
from contexts.models import Trace
from retrieval.admin.version_usage import register_usage_view
from retrieval.models import DocumentVersion

_SHOWN_ROWS = 20
_FEW = 1_000


class VersionFilter(admin.SimpleListFilter):
    """Filter by the version in the URL; the version's page links here, so no choices are offered."""

    title = "version of a document"
    parameter_name = "version"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        if (pk := _number(request.GET.get(self.parameter_name))) is None:
            return []
        version = DocumentVersion.objects.filter(pk=pk).only("title", "number").first()
        return [(str(pk), str(version or pk))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Trace]) -> QuerySet[Trace]:
        pk = _number(self.value())
        return queryset if pk is None else with_version(queryset, pk)


@register_usage_view(needs="contexts.view_trace")
def traces_of(version: DocumentVersion) -> str:
    """Render a table of the newest traces whose searches found the version."""
    traces = with_version(Trace.objects.only("created_at", "user_id", "query", "state"), version.pk)
    found = list(traces.order_by("-created_at")[: _SHOWN_ROWS + 1])
    rows = [
        (link(Trace, trace.pk, one_line(f"{trace.created_at:%Y-%m-%d %H:%M:%S}")), trace.user_id or "–",
         short(trace.query, 110) or "–", badge(trace.state))
        for trace in found[:_SHOWN_ROWS]
    ]  # fmt: skip
    html = table(["Trace (UTC)", "User", "Question", "State"], rows, "No context was assembled from it.")
    if len(found) <= _SHOWN_ROWS:
        return html
    return format_html("{}{}", html, list_link(Trace, "All traces that used it", version=version.pk))


def with_version(traces: QuerySet[Trace], pk: int) -> QuerySet[Trace]:
    """Return those of the traces whose searches found the version.

    The planner knows how often common versions are used, and thinks too much of the others: for one that hardly any
    trace used it would scan all traces, newest first (3.8 s for 500,000). So the keys of few are read first.
    """
    keys = list(traces.order_by().filter(version_ids__contains=[pk]).values_list("pk", flat=True)[: _FEW + 1])
    return traces.filter(pk__in=keys) if len(keys) <= _FEW else traces.filter(version_ids__contains=[pk])


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else None
