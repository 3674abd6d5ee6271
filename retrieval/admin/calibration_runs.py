"""Admin pages of calibrations: what they measured, and the threshold that the index has by them or by hand."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_POST
from unfold.decorators import display

from common.admin.base import ReadOnlyAdmin, moment
from common.admin.html import admin_url, badge, bar
from common.admin.permissions import needs
from common.admin.site import register
from retrieval.admin.calibration_page import MAX_THRESHOLD, calibration_page
from retrieval.evaluation.calibration import why_not
from retrieval.models import CalibrationRun


class ThresholdForm(forms.Form):
    threshold = forms.FloatField(max_value=MAX_THRESHOLD)

    def clean_threshold(self) -> float:
        threshold = float(self.cleaned_data["threshold"])
        if threshold <= 0:
            raise forms.ValidationError("It must be above 0: whatever is found has at least that.")
        return threshold


@register(CalibrationRun)
class CalibrationRunAdmin(ReadOnlyAdmin):
    change_form_template = "admin/retrieval/calibrationrun/change_form.html"
    list_display = (
        "number", "index", "shown_auc", "shown_threshold", "answerable_count", "unanswerable_count", "started_by",
        moment("created_at"),
    )  # fmt: skip
    list_display_links = ("number",)
    list_filter = ("index", "rule")
    list_select_related = ("index",)
    list_defer = ("answerable", "unanswerable")
    ordering = ("-pk",)
    sortable_by = ()
    fields = ("index", "rule")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        posts = (("set", self.set_threshold), ("clear", self.clear_threshold))
        own = [
            path(f"<int:pk>/{name}/", view(require_POST(do)), name=f"retrieval_calibrationrun_{name}")
            for name, do in posts
        ]
        return [*own, *super().get_urls()]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        run = self.get_object(request, object_id) if object_id else None
        extra: dict[str, Any] = {"title": "Calibration", **(extra_context or {})}
        if isinstance(run, CalibrationRun) and self.has_view_permission(request, run):
            extra["page"] = calibration_page(run) | {"may_set": self.has_set_permission(request)}
        return super().changeform_view(request, object_id, form_url, extra)

    def has_set_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("retrieval.change_index")

    @needs("set")
    def set_threshold(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Set the index's threshold: to the run's own, or by hand to another one."""
        run = get_object_or_404(CalibrationRun.objects.select_related("index__generation"), pk=pk)
        index, by = run.index, request.user.get_username()
        form = ThresholdForm({"threshold": request.POST.get("threshold", run.threshold)})
        if reason := why_not(index):
            self.message_user(request, reason, messages.ERROR)
        elif not form.is_valid():
            self.message_user(request, " ".join(map(str, form.errors["threshold"])), messages.ERROR)
        elif "threshold" in request.POST:
            index.set_threshold(form.cleaned_data["threshold"], index.score_basis(), by=by)
            self.message_user(request, "Set by hand.", messages.SUCCESS)
        elif run.basis != index.score_basis():
            self.message_user(request, "The index ranks otherwise now: calibrate it again.", messages.ERROR)
        else:
            index.set_threshold(form.cleaned_data["threshold"], run.basis, by=by, run=run)
            self.message_user(request, f"The threshold of {run} is set.", messages.SUCCESS)
        return HttpResponseRedirect(admin_url(CalibrationRun, run.pk))

    @needs("set")
    def clear_threshold(self, request: HttpRequest, pk: int) -> HttpResponse:
        run = get_object_or_404(CalibrationRun.objects.select_related("index"), pk=pk)
        run.index.set_threshold(None, {}, by=request.user.get_username())
        self.message_user(request, "Cleared: every search is answered from now on.", messages.SUCCESS)
        return HttpResponseRedirect(admin_url(CalibrationRun, run.pk))

    @display(description="run")
    def number(self, run: CalibrationRun) -> str:
        return f"#{run.pk}"

    @display(description="AUC")
    def shown_auc(self, run: CalibrationRun) -> str:
        return bar(run.auc, 1, f"{run.auc:.3f}", "good" if run.auc >= 0.9 else "info")

    @display(description="threshold")
    def shown_threshold(self, run: CalibrationRun) -> str:
        if run.threshold is None:
            return "–"
        is_in_use = run.index.threshold_run_id == run.pk
        return badge(f"{run.threshold:.4f}", "good" if is_in_use else "plain")
