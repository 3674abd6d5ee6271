"""Admin pages of materialisation runs: their progress and their errors."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from unfold.decorators import action, display

from common.admin.base import NamesFilter, ReadOnlyAdmin, moment
from common.admin.html import duration, json_block, list_link, table
from common.admin.permissions import needs
from common.admin.site import register
from features.admin.progress import progress_bar, progress_of, state_badge, time_taken
from features.dispatch import enqueue_run
from features.known_keys import found_none, no_keys_message
from features.models import FeatureValue, MaterializationRun

_MAX_REQUESTED = 200


class RunFeatureFilter(NamesFilter):
    title = parameter_name = column = "feature"


@register(MaterializationRun)
class MaterializationRunAdmin(ReadOnlyAdmin):
    list_display = (
        "feature",
        "number",
        "shown_state",
        "shown_progress",
        "took",
        "kind",
        "started_by",
        moment("created_at"),
    )
    list_filter = ("state", "kind", RunFeatureFilter, "created_at")
    list_defer = ("entity_keys", "errors")
    search_fields = ("feature__startswith",)
    search_help_text = "The beginning of a feature's name."
    sortable_by = ()
    fieldsets = (
        (None, {"fields": (("feature", "kind", "started_by"), ("shown_state", "shown_progress"), "shown_errors")}),
        (
            "Times",
            {"fields": (("created_at", "started_at"), ("heartbeat_at", "finished_at"), "took", "slot")},
        ),
        ("What it computes", {"fields": (("start", "end", "shown_every"), "shown_keys")}),
        ("How far it is", {"fields": (("step", "cursor"), ("unchanged", "defaulted", "claims"), "values_written")}),
    )
    readonly_fields = (
        "started_by", "shown_state", "shown_progress", "shown_errors", "took", "shown_every", "shown_keys",
        "values_written",
    )  # fmt: skip
    actions = ("stop", "resume")

    class Media:
        js = ("admin/runs.js",)

    def get_urls(self) -> list[Any]:
        view = path("progress/", self.admin_site.admin_view(self.progress), name="features_materializationrun_progress")
        return [view, *super().get_urls()]

    @needs("view")
    def progress(self, request: HttpRequest) -> HttpResponse:
        """Return the progress of the runs in `ids`, as JSON, for open pages."""
        pks = [part for part in request.GET.get("ids", "").split(",") if part.isdecimal() and len(part) < 19]
        runs = MaterializationRun.objects.defer("entity_keys", "errors").filter(pk__in=pks[:_MAX_REQUESTED])
        return JsonResponse({"runs": {run.pk: progress_of(run).to_dict() for run in runs}})

    def has_work_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("features.change_featuredefinition")

    @action(description="Stop", permissions=["work"])
    def stop(self, request: HttpRequest, rows: QuerySet[MaterializationRun]) -> None:
        chosen = MaterializationRun.objects.all().filter(pk__in=rows.values("pk"))
        self.message_user(request, f"{chosen.stop()} stopped; each can be resumed where it is.", messages.SUCCESS)

    @action(description="Resume", permissions=["work"])
    def resume(self, request: HttpRequest, rows: QuerySet[MaterializationRun]) -> None:
        chosen = list(rows.values_list("pk", flat=True))
        count = MaterializationRun.objects.all().filter(pk__in=chosen).resume()
        if all(enqueue_run(pk) for pk in chosen):
            self.message_user(request, f"{count} back in the queue.", messages.SUCCESS)
        else:
            self.message_user(request, "The broker does not answer: they start when it is back.", messages.ERROR)

    @display(description="run")
    def number(self, run: MaterializationRun) -> str:
        return f"#{run.pk}"

    @display(description="state")
    def shown_state(self, run: MaterializationRun) -> str:
        return state_badge(run)

    @display(description="progress")
    def shown_progress(self, run: MaterializationRun) -> str:
        return progress_bar(run)

    @display(description="started by")
    def started_by(self, run: MaterializationRun) -> str:
        return f"schedule, slot {run.slot:%Y-%m-%d %H:%M:%S}" if run.slot else "hand or code"

    @display(description="took")
    def took(self, run: MaterializationRun) -> str:
        return time_taken(run)

    @display(description="every")
    def shown_every(self, run: MaterializationRun) -> str:
        return duration(run.every)

    @display(description="errors")
    def shown_errors(self, run: MaterializationRun) -> str:
        if found_none(run):
            return no_keys_message(run.feature) or "None."
        rows = [(error.get("entity_key", "–"), error.get("error", "")) for error in run.errors]
        return table(["Entity", "Error"], rows, "None.")

    @display(description="asked for")
    def shown_keys(self, run: MaterializationRun) -> str:
        return "all known entities" if run.entity_keys is None else json_block(run.entity_keys[:200])

    @display(description="values")
    def values_written(self, run: MaterializationRun) -> str:
        return list_link(FeatureValue, "The values it wrote", run__id__exact=run.pk)
