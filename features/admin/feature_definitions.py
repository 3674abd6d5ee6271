"""Admin pages of declared features: their coverage, their values, and what an operator may change."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from unfold.decorators import action, display

from common.admin.base import DefinitionAdmin, state_of
from common.admin.html import badge, code, duration, json_block, link, list_link, short, table, text_block
from common.admin.site import register
from common.errors import FabraError
from features.admin.charts import coverage_bar, history_drawing
from features.admin.feature_origin import FeatureOrigin
from features.admin.feature_pages import FeaturePages
from features.admin.progress import progress_bar, state_badge, time_taken
from features.coverage import MAX_ENTITIES_IN_LIST, coverages
from features.failures import Failures, failures_of
from features.materialization.requests import request_run
from features.models import FeatureDefinition, FeatureValue, MaterializationRun
from features.models.definitions import REQUEST


@register(FeatureDefinition)
class FeatureDefinitionAdmin(FeatureOrigin, FeaturePages, DefinitionAdmin):
    operator_fields = ("is_enabled", "refresh_override", "is_scheduled")
    list_display = (
        "name",
        "entity",
        "mode",
        "shown_state",
        "covered",
        "is_scheduled",
        "shown_ttl",
        "location",
    )
    list_filter = (*DefinitionAdmin.list_filter, "materialize", "is_scheduled")
    search_fields = ("name", "description", "entity", "trigger")
    readonly_fields = (
        "mode", "shown_default", "calls", "coverage", "failures", "newest_values", "runs",
        "origin", "watched", "inputs", "sets",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("coverage", "failures", "runs", "newest_values")}),
        ("What you may change", {"fields": ("is_enabled", "refresh_override", "is_scheduled")}),
        (
            "As the code declares it",
            {
                "fields": (
                    ("name", "entity"), "description", "location", ("mode", "declared_refresh"),
                    ("materialize", "trigger"), ("origin", "watched"), ("inputs", "sets"), ("ttl", "stale_tolerance"),
                    ("calls", "takes_as_of"), "shown_default", ("created_at", "gone_at"),
                )
            },
        ),
    )  # fmt: skip
    needs_permission = {
        "newest_values": "features.view_featurevalue",
        "runs": "features.view_materializationrun",
    }
    actions = ("materialize_now",)

    class Media:
        js = ("admin/runs.js",)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Look up the coverage and the failures of the whole list at once."""
        changelist = super().get_changelist_instance(request)
        rows = list(changelist.result_list)
        found = coverages(rows, most=MAX_ENTITIES_IN_LIST)
        failed = failures_of([row.name for row in rows])
        for row in rows:
            row.coverage = found[row.name]
            row.failures = failed and failed[row.name]
        changelist.result_list = rows
        return changelist

    @display(description="state")
    def shown_state(self, row: FeatureDefinition) -> str:
        failures: Failures | None = row.failures  # type: ignore[attr-defined]
        failed = failures.recent if failures else 0
        state = badge(state_of(row))
        # Not a column of its own, for which the list is too narrow.
        return format_html("{}<br>{}", state, badge("failed", label=f"{failed:,} failed")) if failed else state

    @display(description="TTL", ordering="ttl")
    def shown_ttl(self, row: FeatureDefinition) -> str:
        return duration(row.ttl)

    @display(description="how values come about")
    def mode(self, row: FeatureDefinition) -> str:
        return row.mode

    @display(description="how its function is called")
    def calls(self, row: FeatureDefinition) -> str:
        if row.source == REQUEST:
            return "for each read, one key in a call"
        taken = f"up to {row.batch_size:,} keys in a call" if row.batch_size else "one key in a call"
        return f"{taken}, {row.concurrency} at once while it is materialised"

    @display(description="default value")
    def shown_default(self, row: FeatureDefinition) -> str:
        return json_block(row.default_value)

    @display(description="coverage")
    def covered(self, row: FeatureDefinition) -> str:
        if row.source == REQUEST:
            return "never stored"
        return coverage_bar(row.coverage)  # type: ignore[attr-defined]

    @display(description="coverage")
    def coverage(self, row: FeatureDefinition) -> str:
        if row.source == REQUEST:
            return "It is computed at each read and never stored; a trace has the value that its answer was made from."
        return coverage_bar(coverages([row])[row.name], has_legend=True)

    @display(description="failures of its function")
    def failures(self, row: FeatureDefinition) -> str:
        found = failures_of([row.name])
        if found is None:
            return "Unknown: Redis does not answer."
        failures = found[row.name]
        counts = [(f"{day}", f"{count:,}") for day, count in failures.by_day.items()]
        if not counts:
            return "None on demand in 30 days."
        note = "The last was at {} UTC, for {}. A default or an older value was served instead, where there was one."
        last = format_html(
            f'<p class="fb-note">{note}</p>{{}}', failures.last_at, failures.last_key, text_block(failures.last_error)
        )
        return format_html("{}{}", last, table(["Day (UTC)", "Failed"], counts))

    @display(description="newest values")
    def newest_values(self, row: FeatureDefinition) -> str:
        newest = list(FeatureValue.objects.filter(feature=row.name).order_by("-created_at")[:10])
        histories = FeatureValue.objects.all().histories(row.entity, [value.entity_key for value in newest], row.name)
        rows = [
            (link(FeatureValue, value.pk, value.entity_key),
             code(short(value.value)),
             f"{value.event_timestamp:%Y-%m-%d %H:%M:%S}", value.get_source_display(),
             history_drawing(histories[value.entity_key]))
            for value in newest
        ]  # fmt: skip
        shown = table([row.entity, "Value", "True at (UTC)", "Source", "Its history"], rows)
        return format_html("{} {}", shown, list_link(FeatureValue, "All of them", feature=row.name) if rows else "")

    @display(description="newest runs")
    def runs(self, row: FeatureDefinition) -> str:
        newest = MaterializationRun.objects.filter(feature=row.name)[:10]
        rows = [
            (link(MaterializationRun, run.pk, f"#{run.pk}"), run.get_kind_display(), state_badge(run),
             progress_bar(run), time_taken(run), f"{run.created_at:%Y-%m-%d %H:%M:%S}")
            for run in newest
        ]  # fmt: skip
        headings = ["Run", "Kind", "State", "Progress", "Took", "Asked for (UTC)"]
        return table(headings, rows, "It was never materialised.")

    def has_materialize_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("features.change_featuredefinition")

    @action(description="Materialise now", permissions=["materialize"])
    def materialize_now(self, request: HttpRequest, rows: QuerySet[FeatureDefinition]) -> None:
        for row in rows:
            self._materialize(request, row)

    @action(description="Materialise now", permissions=["materialize"], url_path="materialize", icon="play_arrow")
    def materialize_this(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        self._materialize(request, self.found(object_id))
        return HttpResponseRedirect(self.url_of(object_id))

    def _materialize(self, request: HttpRequest, row: FeatureDefinition) -> None:
        if row.trigger or row.source:
            origin = "its events compute it" if row.trigger else "its source brings it"
            origin = "it is computed at each read" if row.source == REQUEST else origin
            self.message_user(request, f"{row.name}: {origin}; there is nothing to run.", messages.WARNING)
        elif row.gone_at is not None or not row.is_enabled:
            self.message_user(request, f"{row.name} is {state_of(row)} and was not started.", messages.WARNING)
        else:
            try:
                run = request_run(row.name)
            except FabraError as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.start(request, run)
