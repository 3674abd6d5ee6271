"""Admin pages of golden questions: edit, import and export them."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import F, Func, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action, display

from common.admin.base import ListAdmin
from common.admin.html import badge, badges, link, list_url, short, table, wide
from common.admin.site import register, render, reverse_admin
from retrieval.admin.golden_forms import GoldenQuestionForm, ImportForm
from retrieval.evaluation.golden import expectation, save_golden, to_csv, to_json_lines
from retrieval.models import EvaluationOutcome, EvaluationRun, GoldenQuestion


class TagFilter(admin.SimpleListFilter):
    title = parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        tags = GoldenQuestion.objects.annotate(tag=Func(F("tags"), function="unnest")).order_by("tag")
        return [(tag, tag) for tag in tags.values_list("tag", flat=True).distinct()[:50]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[GoldenQuestion]) -> QuerySet[GoldenQuestion]:
        return queryset.filter(tags__contains=[self.value()]) if self.value() else queryset


@register(GoldenQuestion)
class GoldenQuestionAdmin(ListAdmin):
    form = GoldenQuestionForm
    list_display = ("shown_question", "index", "shown_expectation", "last_rank", "shown_tags", "is_enabled")
    list_display_links = ("shown_question",)
    list_filter = ("index", TagFilter, "is_enabled")
    list_select_related = ("index",)
    search_fields = ("question__icontains", "expected_documents__icontains")
    search_help_text = "Words of the question, or of a document's id."
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = ("outcomes",)
    needs_permission = {"outcomes": "retrieval.view_evaluationrun"}
    actions = ("enable", "disable", "export_json_lines", "export_csv")
    actions_list = ("import_file", "run_now")

    def get_queryset(self, request: HttpRequest) -> QuerySet[GoldenQuestion]:
        last = EvaluationOutcome.objects.filter(golden_question=OuterRef("pk")).order_by("-pk")
        return (
            super()
            .get_queryset(request)
            .annotate(last_run=Subquery(last.values("run")[:1]), rank_in_last_run=Subquery(last.values("rank")[:1]))
        )

    def get_fieldsets(self, request: HttpRequest, obj: GoldenQuestion | None = None) -> Any:
        fieldsets = (
            (None, {"fields": ("index", "question", "expected_documents", "expected_text", "is_enabled")}),
            ("How it is asked", {"fields": ("history", "audience", "filters", "tags")}),
            *([(None, {"fields": ("outcomes",)})] if obj else []),
        )
        return self.permitted(request, fieldsets)

    @action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, rows: QuerySet[GoldenQuestion]) -> None:
        self.message_user(request, f"{rows.update(is_enabled=True)} enabled.", messages.SUCCESS)

    @action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, rows: QuerySet[GoldenQuestion]) -> None:
        self.message_user(request, f"{rows.update(is_enabled=False)} disabled.", messages.SUCCESS)

    @action(description="Export as JSON Lines", permissions=["view"])
    def export_json_lines(self, request: HttpRequest, rows: QuerySet[GoldenQuestion]) -> HttpResponse:
        return _download("golden-questions.jsonl", "application/jsonl", to_json_lines(rows))

    @action(description="Export as CSV", permissions=["view"])
    def export_csv(self, request: HttpRequest, rows: QuerySet[GoldenQuestion]) -> HttpResponse:
        return _download("golden-questions.csv", "text/csv", to_csv(rows))

    @action(description="Import", url_path="import", permissions=["add", "change"], icon="upload")
    def import_file(self, request: HttpRequest) -> HttpResponse:
        form = ImportForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            index = form.cleaned_data["index"]
            added, changed = save_golden(index, form.cleaned_data["file"])
            self.message_user(request, f"{added} added to {index}, {changed} changed.", messages.SUCCESS)
            return HttpResponseRedirect(list_url(GoldenQuestion))
        page = {"title": "Import golden questions", "form": form, "submit": "Import", "opts": self.opts}
        return render(request, "admin/form_page.html", self.admin_site.each_context(request) | page)

    def has_run_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("retrieval.add_evaluationrun")

    @action(description="Run now", url_path="run", permissions=["run"], icon="play_arrow")
    def run_now(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse_admin("retrieval_evaluationrun_start"))

    @display(description="question")
    def shown_question(self, row: GoldenQuestion) -> str:
        after = f" (after: {short(row.history[-1], 60)})" if row.history else ""
        return wide(short(row.question, 110) + after)

    @display(description="expected")
    def shown_expectation(self, row: GoldenQuestion) -> str:
        return wide(short(expectation(row), 90))

    @display(description="in its last run")
    def last_rank(self, row: Any) -> str:
        if row.last_run is None:
            return "–"
        label = f"rank {row.rank_in_last_run}" if row.rank_in_last_run else "missed"
        return badge(label, tone_of(row.rank_in_last_run))

    @display(description="tags")
    def shown_tags(self, row: GoldenQuestion) -> str:
        return badges(row.tags, "plain")

    @display(description="newest runs")
    def outcomes(self, row: GoldenQuestion) -> str:
        newest = row.outcomes.select_related("run").order_by("-pk")[:10]
        rows = [
            (link(EvaluationRun, outcome.run_id, f"#{outcome.run_id}"), outcome.run.mode,
             badge(f"rank {outcome.rank}" if outcome.rank else "missed", tone_of(outcome.rank)),
             ", ".join(hit["document_id"] for hit in outcome.found[:3]) or "–",
             f"{outcome.run.created_at:%Y-%m-%d %H:%M}")
            for outcome in newest
        ]  # fmt: skip
        return table(["Run", "Mode", "First right hit", "Found first", "When (UTC)"], rows, "No run has asked it yet.")


def tone_of(rank: int | None) -> str:
    return "bad" if rank is None else "good" if rank <= 5 else "warn"


def _download(name: str, kind: str, text: str) -> HttpResponse:
    return HttpResponse(
        text, content_type=f"{kind}; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
