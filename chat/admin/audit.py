"""Admin of the audit log: to read, filter and search; nobody writes or deletes there."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from unfold.decorators import display

from chat.models import ApiKey, AuditEntry
from common.admin.base import NamesFilter, ReadOnlyAdmin, moment
from common.admin.html import badge, link, one_line, short
from common.admin.site import register
from common.client_address import parse_address


class ActionFilter(NamesFilter):
    title = "action"
    parameter_name = column = "action"


class ResultFilter(admin.SimpleListFilter):
    title = "result"
    parameter_name = "result"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("refused", "Refused (401, 403, 429)"), ("failed", "Failed otherwise"), ("done", "Done")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        refused = Q(status__in=_REFUSED)
        if self.value() == "refused":
            return queryset.filter(refused)
        if self.value() == "failed":
            return queryset.filter(status__gte=400).exclude(refused)
        return queryset.exclude(status__gte=400) if self.value() == "done" else queryset


_REFUSED = (401, 403, 429)


@register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = (moment("at"), "shown_who", "shown_action", "shown_target", "shown_result", "address")
    list_filter = ("by", ActionFilter, ResultFilter, "at")
    ordering = ("-at", "-pk")
    sortable_by = ()
    search_fields = ("who",)  # see get_search_results
    search_help_text = "A whole user name or key's name, an address, or the beginning of what it was done to."
    readonly_fields = ("shown_at", "shown_who", "shown_action", "shown_result")
    fieldsets = (
        (None, {"fields": (("shown_at", "shown_who"), ("shown_action", "target"), ("shown_result", "detail"))}),
        ("Request", {"fields": (("address", "endpoint"), ("method", "path"))}),
    )

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup == "key_pk" or super().lookup_allowed(lookup, value, request)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if address := parse_address(term):
            return queryset.filter(address=str(address)), False
        return queryset.filter(Q(who=term) | Q(target__startswith=term)), False

    @display(description="at (UTC)")
    def shown_at(self, entry: AuditEntry) -> str:
        return f"{entry.at:%Y-%m-%d %H:%M:%S}"

    @display(description="who")
    def shown_who(self, entry: AuditEntry) -> str:
        who = link(ApiKey, entry.key_pk, entry.who) if entry.key_pk else entry.who
        return format_html("{} {}", who, badge(entry.by, "info" if entry.by == "key" else "plain"))

    @display(description="action")
    def shown_action(self, entry: AuditEntry) -> str:
        return one_line(entry.action.replace("_", " "))

    @display(description="to what")
    def shown_target(self, entry: AuditEntry) -> str:
        parts = [short(entry.target, 60)] if entry.target else []
        parts += [short(entry.detail, 80)] if entry.detail else []
        return format_html_join("", '<div class="fb-wide">{}</div>', ((part,) for part in parts)) or "–"

    @display(description="result")
    def shown_result(self, entry: AuditEntry) -> str:
        if entry.status is None:
            return badge("done", "good")
        tone = "warn" if entry.status in _REFUSED else "bad" if entry.status >= 400 else "good"
        return badge(str(entry.status), tone)
