"""Admin of gaps: what the documents do not answer, most frequent first, and what to do about it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import Count, F, Func, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.views.decorators.http import require_POST
from unfold.decorators import action, display

from chat.admin.gap_forms import ArticleSearchForm, article_of, find_articles
from chat.admin.gap_page import CHART_DAYS, STATE_TONES, chart_of, gap_page, reason_badges, reasons_in
from chat.dispatch import enqueue_gap
from chat.gaps.decisions import link_article, merge, reopen, rule_out
from chat.models import Gap, GapQuestion
from common.admin.base import ListAdmin, is_list, moment
from common.admin.html import admin_url, badge, link, short, wide
from common.admin.permissions import needs
from common.admin.site import register, render
from common.errors import FabraError
from retrieval.models import Document, Index

_EXAMPLES = 8
_TO_DO = (Gap.State.OPEN, Gap.State.ARTICLE_WRITTEN, Gap.State.LINKED)


class GapStateFilter(admin.SimpleListFilter):
    """Show what is to be done unless the filter says otherwise."""

    title = parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((state.value, str(state.label).capitalize()) for state in Gap.State), ("all", "All")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        choices = super().choices(changelist)
        yield {**next(choices), "display": "To do"}
        yield from choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Gap]) -> QuerySet[Gap]:
        if self.value() == "all":
            return queryset
        return queryset.filter(state=self.value()) if self.value() else queryset.filter(state__in=_TO_DO)


class ReasonFilter(admin.SimpleListFilter):
    title = parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(reason.value, str(reason.label).capitalize()) for reason in GapQuestion.Reason]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Gap]) -> QuerySet[Gap]:
        if not self.value():
            return queryset
        return queryset.filter(pk__in=GapQuestion.objects.filter(reasons__contains=[self.value()]).values("gap"))


@register(Gap)
class GapAdmin(ListAdmin):
    change_form_template = "admin/chat/gap/change_form.html"
    list_before_template = "admin/chat/gap/chart.html"
    list_display = ("shown_title", "asked", "this_week", "shown_reasons", "shown_state", moment("last_seen_at"))
    list_display_links = ("shown_title",)
    list_filter = (GapStateFilter, ReasonFilter, "last_seen_at")
    list_defer = ("centroid",)
    ordering = ("-question_count", "-last_seen_at")
    sortable_by = ("asked", "last_seen_at")
    search_fields = ("title__icontains", "questions__message__text__icontains")
    search_help_text = "Words of a question."
    fields = readonly_fields = ("title", "state")
    actions = ("rule_out_all", "merge_all")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Gap]:
        rows = super().get_queryset(request)
        if not is_list(request):
            return rows.select_related("document__index")
        own = GapQuestion.objects.filter(gap=OuterRef("pk")).order_by()
        recent = own.filter(asked_at__gte=timezone.now() - timedelta(days=7))
        return rows.annotate(
            reasons=ArraySubquery(
                own.annotate(reason=Func(F("reasons"), function="unnest")).values("reason").distinct()
            ),
            recent=Coalesce(Subquery(recent.values("gap").annotate(n=Count("pk")).values("n")), 0),
        )

    def get_urls(self) -> list[Any]:
        views = [
            ("article", self.write_article),
            ("link", self.link_document),
            ("out-of-scope", require_POST(self.rule_out)),
            ("reopen", require_POST(self.reopen)),
            ("ask", require_POST(self.ask)),
        ]
        own = [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"chat_gap_{name.replace('-', '_')}")
            for name, view in views
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        extra = dict(extra_context or {})
        if self.has_view_permission(request):
            counted = GapQuestion.objects.exclude(gap__state=Gap.State.OUT_OF_SCOPE)
            extra["chart"] = chart_of(reasons_in(counted, CHART_DAYS))
        return super().changelist_view(request, extra)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        extra: dict[str, Any] = {"title": "Gap", **(extra_context or {})}
        gap = self.get_object(request, object_id) if object_id else None
        if gap is not None and self.has_view_permission(request, gap):
            # What can be done with a gap has buttons of its own.
            extra |= {"page": gap_page(request, gap), "show_save": False, "show_save_and_continue": False}
        return super().changeform_view(request, object_id, form_url, extra)

    @needs("change", "retrieval.add_document")
    def write_article(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show a new article's form, filled with the question; save it as the documents' own page does."""
        gap = get_object_or_404(Gap, pk=pk)
        documents = self.admin_site.get_model_admin(Document)
        form = documents.get_form(request)(request.POST or None, initial=article_of(gap))
        if request.method == "POST" and form.is_valid():
            with transaction.atomic():
                document = form.save(commit=False)
                documents.save_model(request, document, form, change=False)
                documents.log_addition(request, document, f"For the gap {gap.pk}")
                link_article(gap, document, by=request.user.get_username(), is_new=True)
            return HttpResponseRedirect(admin_url(Gap, pk))
        texts = gap.questions.order_by("-asked_at").values_list("message__text", flat=True)
        page = {
            "title": "Write an article", "form": form, "submit": "Save and ask again", "opts": self.opts, "gap": gap,
            "examples": list(dict.fromkeys(texts[: 4 * _EXAMPLES]))[:_EXAMPLES],
        }  # fmt: skip
        return render(request, "admin/chat/gap/article.html", self.admin_site.each_context(request) | page)

    @needs("change", "retrieval.view_document")
    def link_document(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show a search for articles; a POST with a `document` links that one."""
        gap = get_object_or_404(Gap, pk=pk)
        if request.method == "POST":
            number = request.POST.get("document", "")
            is_number = number.isdecimal() and len(number) < 19
            document = get_object_or_404(Document.objects.live(), pk=int(number) if is_number else 0)
            link_article(gap, document, by=request.user.get_username())
            opened = link(Document, document.pk, "open it")
            text = "Linked; the questions are asked again. If they find something else, {} and add their words."
            self.message_user(request, format_html(text, opened), messages.SUCCESS)
            return HttpResponseRedirect(admin_url(Gap, pk))
        data = {"q": gap.title[:1000], "index": settings.FABRA_DEFAULT_INDEX} | request.GET.dict()
        form = ArticleSearchForm(data)
        found: list[Any] = []
        if form.is_valid():
            try:
                found = find_articles(form.cleaned_data["index"], form.cleaned_data["q"])
            except FabraError as error:
                form.add_error("q", str(error))
        page = {
            "title": "Link to an article", "form": form, "gap": gap, "opts": self.opts,
            "found": [(document, hit, admin_url(Document, document.pk)) for document, hit in found],
            "has_indexes": Index.objects.exclude(generation=None).count() > 1,
        }  # fmt: skip
        return render(request, "admin/chat/gap/link.html", self.admin_site.each_context(request) | page)

    @needs("change")
    def rule_out(self, request: HttpRequest, pk: int) -> HttpResponse:
        rule_out(get_object_or_404(Gap, pk=pk), by=request.user.get_username())
        self.message_user(request, "Out of scope: such questions are still counted, and not shown.", messages.SUCCESS)
        return HttpResponseRedirect(admin_url(Gap, pk))

    @needs("change")
    def reopen(self, request: HttpRequest, pk: int) -> HttpResponse:
        reopen(get_object_or_404(Gap, pk=pk), by=request.user.get_username())
        self.message_user(request, "It is open again.", messages.SUCCESS)
        return HttpResponseRedirect(admin_url(Gap, pk))

    @needs("change")
    def ask(self, request: HttpRequest, pk: int) -> HttpResponse:
        if enqueue_gap(get_object_or_404(Gap, pk=pk).pk, is_forced=True):
            self.message_user(request, "The questions are being asked again.", messages.SUCCESS)
        else:
            self.message_user(request, "Redis does not answer, so nothing was asked.", messages.WARNING)
        return HttpResponseRedirect(admin_url(Gap, pk))

    @action(description="Out of scope", permissions=["change"])
    def rule_out_all(self, request: HttpRequest, rows: QuerySet[Gap]) -> None:
        gaps = list(rows.defer(None))
        for gap in gaps:
            rule_out(gap, by=request.user.get_username())
        self.message_user(request, f"{len(gaps)} out of scope.", messages.SUCCESS)

    @action(description="Merge into one", permissions=["change"])
    def merge_all(self, request: HttpRequest, rows: QuerySet[Gap]) -> None:
        gaps = list(rows.defer(None))
        if len(gaps) < 2:
            self.message_user(request, "Choose at least two.", messages.WARNING)
            return
        kept = merge(gaps)
        text = format_html("{} merged into {}.", len(gaps), link(Gap, kept.pk, "one"))
        self.message_user(request, text, messages.SUCCESS)

    @display(description="question")
    def shown_title(self, gap: Gap) -> str:
        return wide(short(gap.title, 140) or f"gap {gap.pk}")

    @display(description="asked", ordering="question_count")
    def asked(self, gap: Gap) -> int:
        return gap.question_count

    @display(description="in 7 days")
    def this_week(self, gap: Any) -> int:
        return gap.recent

    @display(description="why")
    def shown_reasons(self, gap: Any) -> str:
        labels = format_html_join("", "{}", ((label,) for label in reason_badges(gap.reasons)))
        return format_html('<span class="fb-badges">{}</span>', labels)

    @display(description="state", ordering="state")
    def shown_state(self, gap: Gap) -> str:
        return badge(gap.state, STATE_TONES[Gap.State(gap.state)], gap.get_state_display())
