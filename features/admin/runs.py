"""Materialisation runs: how far they are, and what failed."""

from django.contrib import admin
from django.utils import timezone
from unfold.decorators import display

from features.admin.definitions import progress
from features.admin_html import badge, duration, json_block, list_link, table
from features.admin_tools import NamesFilter, ReadOnlyAdmin, moment
from features.models import FeatureValue, MaterializationRun


class RunFeatureFilter(NamesFilter):
    title = parameter_name = column = "feature"


@admin.register(MaterializationRun)
class MaterializationRunAdmin(ReadOnlyAdmin):
    list_display = ("feature", "number", "shown_state", "shown_progress", "kind", moment("created_at"), "took")
    list_filter = ("state", RunFeatureFilter, "created_at")
    list_defer = ("entity_keys", "errors")
    search_fields = ("feature__startswith",)
    search_help_text = "The beginning of a feature's name."
    sortable_by = ()
    fieldsets = (
        (None, {"fields": (("feature", "kind"), ("shown_state", "shown_progress"), "shown_errors")}),
        (
            "Times",
            {"fields": (("created_at", "started_at"), ("heartbeat_at", "finished_at"), "took", "slot")},
        ),
        ("Entities", {"fields": ("cursor", "shown_keys", "values_written")}),
    )
    readonly_fields = ("kind", "shown_state", "shown_progress", "shown_errors", "took", "shown_keys", "values_written")

    @display(description="run")
    def number(self, run: MaterializationRun) -> str:
        return f"#{run.pk}"

    @display(description="state")
    def shown_state(self, run: MaterializationRun) -> str:
        return badge(run.state)

    @display(description="progress")
    def shown_progress(self, run: MaterializationRun) -> str:
        return progress(run)

    @display(description="started by")
    def kind(self, run: MaterializationRun) -> str:
        return f"schedule, slot {run.slot:%Y-%m-%d %H:%M:%S}" if run.slot else "hand or code"

    @display(description="took")
    def took(self, run: MaterializationRun) -> str:
        if run.started_at is None:
            return "–"
        return duration((run.finished_at or timezone.now()) - run.started_at)

    @display(description="errors")
    def shown_errors(self, run: MaterializationRun) -> str:
        rows = [(each.get("entity_key", "–"), each.get("error", "")) for each in run.errors]
        return table(["Entity", "Error"], rows, "None.")

    @display(description="asked for")
    def shown_keys(self, run: MaterializationRun) -> str:
        return "all known entities" if run.entity_keys is None else json_block(run.entity_keys[:200])

    @display(description="values")
    def values_written(self, run: MaterializationRun) -> str:
        return list_link(FeatureValue, "The values it wrote", run__id__exact=run.pk)
