"""Admin pages of evaluation runs: start one, draw them over time, and compare them question by question."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.decorators import action, display

from common.admin.base import ReadOnlyAdmin, moment
from common.admin.html import admin_url, badge, bar, duration, one_line
from common.admin.permissions import needs
from common.admin.site import register, render
from common.errors import FabraError
from retrieval.admin.charts import line_chart
from retrieval.admin.evaluation_page import run_page, run_state
from retrieval.admin.golden_forms import RunForm
from retrieval.dispatch import enqueue_evaluation
from retrieval.evaluation.runs import open_run
from retrieval.models import EvaluationRun

_DRAWN_RUNS = 50
_DRAWN = ("hit_rate@5", "mrr@10", "ndcg@10")


@register(EvaluationRun)
class EvaluationRunAdmin(ReadOnlyAdmin):
    change_form_template = "admin/retrieval/evaluationrun/change_form.html"
    list_before_template = "admin/retrieval/evaluationrun/chart.html"
    list_display = (
        "number", "index", "mode", "shown_state", "hit_rate", "ndcg", "questions", "started_by", moment("created_at"),
        "took",
    )  # fmt: skip
    list_display_links = ("number",)
    list_filter = ("index", "mode", "state")
    list_select_related = ("index",)
    ordering = ("-pk",)
    sortable_by = ()
    fields = ("index", "mode", "state")
    actions = ("compare_two",)
    actions_list = ("start",)

    def get_urls(self) -> list[Any]:
        go_on = self.admin_site.admin_view(require_POST(self.go_on))
        return [path("<int:pk>/go-on/", go_on, name="retrieval_evaluationrun_go_on"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None)
        if context and "cl" in context:
            context["chart"] = chart(context["cl"].queryset)
        return response

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        run = self.get_object(request, object_id) if object_id else None
        extra: dict[str, Any] = {"title": "Evaluation run", **(extra_context or {})}
        if isinstance(run, EvaluationRun) and self.has_view_permission(request, run):
            extra["page"] = run_page(run, request.GET.get("with", ""))
        return super().changeform_view(request, object_id, form_url, extra)

    def has_start_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("retrieval.add_evaluationrun")

    @action(description="Run now", url_path="start", permissions=["start"], icon="play_arrow")
    def start(self, request: HttpRequest) -> HttpResponse:
        form = RunForm(request.POST or None, initial={"index": request.GET.get("index")})
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            try:
                run = open_run(
                    data["index"].name,
                    mode=data["mode"],
                    tag=data["tag"],
                    started_by=request.user.get_username(),
                )
            except FabraError as error:
                form.add_error(None, str(error))
            else:
                self._enqueue(request, run)
                return HttpResponseRedirect(admin_url(EvaluationRun, run.pk))
        page = {"title": "Ask the golden questions", "form": form, "submit": "Run now", "opts": self.opts}
        return render(request, "admin/form_page.html", self.admin_site.each_context(request) | page)

    @needs("start")
    def go_on(self, request: HttpRequest, pk: int) -> HttpResponse:
        run = get_object_or_404(EvaluationRun, pk=pk)
        self._enqueue(request, run)
        return HttpResponseRedirect(admin_url(EvaluationRun, run.pk))

    def _enqueue(self, request: HttpRequest, run: EvaluationRun) -> None:
        if enqueue_evaluation(run.pk):
            self.message_user(request, f"Started: {run}.", messages.SUCCESS)
        else:
            self.message_user(
                request, f"The broker does not answer: {run} is queued; let it go on when it is back.", messages.ERROR
            )

    @action(description="Compare two", permissions=["view"])
    def compare_two(self, request: HttpRequest, rows: QuerySet[EvaluationRun]) -> HttpResponse | None:
        runs = list(rows.order_by("pk")[:3])
        if len(runs) != 2 or runs[0].index_id != runs[1].index_id:
            self.message_user(request, "Choose two runs of one index.", messages.WARNING)
            return None
        return HttpResponseRedirect(f"{admin_url(EvaluationRun, runs[1].pk)}?with={runs[0].pk}")

    @display(description="run")
    def number(self, run: EvaluationRun) -> str:
        return f"#{run.pk}"

    @display(description="state")
    def shown_state(self, run: EvaluationRun) -> str:
        return badge(run_state(run))

    @display(description="hit rate @5")
    def hit_rate(self, run: EvaluationRun) -> str:
        return _figure(run, "hit_rate@5")

    @display(description="nDCG @10")
    def ndcg(self, run: EvaluationRun) -> str:
        return _figure(run, "ndcg@10")

    @display(description="questions")
    def questions(self, run: EvaluationRun) -> str:
        return f"{run.done:,}" if run.done == run.total else f"{run.done:,} of {run.total:,}"

    @display(description="took")
    def took(self, run: EvaluationRun) -> str:
        return one_line(duration((run.finished_at or timezone.now()) - run.started_at)) if run.started_at else "–"


def chart(runs: QuerySet[EvaluationRun]) -> str:
    """Draw the newest finished runs of the list: those of the newest run's index, mode and tag."""
    done = runs.filter(state=EvaluationRun.State.DONE).order_by("-pk")
    newest = done.first()
    if newest is None:
        return ""
    drawn = list(done.filter(index=newest.index_id, mode=newest.mode, tag=newest.tag)[:_DRAWN_RUNS])[::-1]
    drawing = line_chart(
        [f"#{run.pk} {run.created_at:%b %d}" for run in drawn],
        {name: [run.metrics.get(name, 0.0) for run in drawn] for name in _DRAWN},
        [admin_url(EvaluationRun, run.pk) for run in drawn],
    )
    heading = " · ".join(filter(None, [str(newest.index), newest.mode, newest.tag and f"tag {newest.tag}"]))
    return format_html("<h3>{}</h3>{}", heading, drawing)


def _figure(run: EvaluationRun, name: str) -> str:
    if name not in run.metrics:
        return "–"
    value = run.metrics[name]
    return bar(value, 1, f"{value:.3f}", "good" if value >= 0.9 else "info")
