"""Admin actions that save a trace's question as a golden question: in the list of traces and on a trace's page."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.decorators import action

from common.admin.base import ListAdmin
from common.admin.html import admin_url, list_link
from common.admin.permissions import needs
from contexts.golden import keep_as_golden
from contexts.models import Trace
from retrieval.models import GoldenQuestion

_NOTHING = "It searched no index that is still there, so there is nothing to expect."
_REVIEW = "Look at what it expects, then enable it."


class GoldenActions(ListAdmin):
    actions: Any = ("keep_as_golden",)

    def get_urls(self) -> list[Any]:
        keep = self.admin_site.admin_view(require_POST(self.keep_one))
        return [path("<uuid:pk>/golden/", keep, name="contexts_trace_golden"), *super().get_urls()]

    def has_golden_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("retrieval.add_goldenquestion") and self.has_view_permission(request)

    @action(description="Keep as golden questions", permissions=["golden"])
    def keep_as_golden(self, request: HttpRequest, rows: QuerySet[Trace]) -> None:
        kept = [row for row in (keep_as_golden(trace) for trace in rows.defer(None)) if row is not None]
        self.message_user(
            request,
            format_html("{} kept. {} {}", len(kept), _REVIEW, list_link(GoldenQuestion, "They are here.", tag="trace")),
            messages.SUCCESS if kept else messages.WARNING,
        )

    @needs("golden")
    def keep_one(self, request: HttpRequest, pk: Any) -> HttpResponse:
        golden = keep_as_golden(get_object_or_404(Trace, pk=pk))
        if golden is None:
            self.message_user(request, _NOTHING, messages.WARNING)
            return HttpResponseRedirect(admin_url(Trace, pk))
        self.message_user(request, _REVIEW if not golden.is_enabled else "It was kept already.", messages.SUCCESS)
        return HttpResponseRedirect(admin_url(GoldenQuestion, golden.pk))
