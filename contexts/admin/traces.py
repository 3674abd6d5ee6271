"""Admin of traces: the evidence behind each answer."""

import uuid
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.html import format_html_join
from unfold.decorators import display

from common.admin.base import ReadOnlyAdmin, is_list, moment
from common.admin.html import badge, bar, duration, one_line, short, wide
from common.admin.site import register
from common.sql.words import has_words
from contexts.admin.golden import GoldenActions
from contexts.admin.trace_page import panels_of, trace_page
from contexts.admin.versions import VersionFilter
from contexts.evidence import NEUTRAL_FLAGS
from contexts.models import ContextDefinition, Trace


class ContextFilter(admin.SimpleListFilter):
    title = parameter_name = "context"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in ContextDefinition.objects.values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Trace]) -> QuerySet[Trace]:
        return queryset.filter(context=self.value()) if self.value() else queryset


class FlagFilter(admin.SimpleListFilter):
    title = "flags"
    parameter_name = "flagged"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "With a flag")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Trace]) -> QuerySet[Trace]:
        return queryset.exclude(flags=[]) if self.value() == "yes" else queryset


@register(Trace)
class TraceAdmin(GoldenActions, ReadOnlyAdmin):
    change_form_template = "admin/contexts/trace/change_form.html"
    list_display = (moment("created_at"), "user_id", "question", "shown_state", "tokens_used", "items", "took")
    list_filter = ("state", ContextFilter, FlagFilter, VersionFilter, "created_at")
    list_defer = ("query", "answer", "outcome", "version_ids")
    ordering = ("-created_at",)
    sortable_by = ("created_at",)
    search_fields = ("query",)  # see get_search_results
    search_help_text = "User id, context id, or beginnings of words"
    fields = ("context", "user_id", "state")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trace]:
        rows = super().get_queryset(request)
        return rows.annotate(beginning=Left("query", 200)) if is_list(request) else rows.select_related("body")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(pk=uuid.UUID(term)), False
        except ValueError:
            of_user = queryset.filter(user_id=term)
            return (of_user if of_user.exists() else queryset.filter(has_words("query", term))), False

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        extra: dict[str, Any] = {"title": "Trace", **(extra_context or {})}
        trace = self.get_object(request, object_id) if object_id else None
        if trace is not None and self.has_view_permission(request, trace):
            extra["page"] = trace_page(trace)
            extra["panels"] = panels_of(request, trace)
            extra["can_keep"] = self.has_golden_permission(request)
        return super().changeform_view(request, object_id, form_url, extra)

    @display(description="question")
    def question(self, trace: Any) -> str:
        return wide(short(trace.beginning, 110) or "–")

    @display(description="state")
    def shown_state(self, trace: Trace) -> str:
        labels = [badge(trace.state), *(badge(code, "bad") for code in [trace.error_code] if code)]
        labels += [badge(flag, "plain" if flag in NEUTRAL_FLAGS else "warn") for flag in trace.flags]
        return format_html_join(" ", "{}", ((label,) for label in labels))

    @display(description="tokens")
    def tokens_used(self, trace: Trace) -> str:
        tone = "bad" if trace.tokens > trace.max_tokens else "info"
        return bar(trace.tokens, trace.max_tokens, f"{trace.tokens:,} of {trace.max_tokens:,}", tone)

    @display(description="items")
    def items(self, trace: Trace) -> str:
        return one_line(f"{trace.kept} kept" + (f", {trace.dropped} dropped" if trace.dropped else ""))

    @display(description="took")
    def took(self, trace: Trace) -> str:
        return one_line(duration(trace.duration_ms / 1000))
