"""Entities and features as the code declares them, with what an operator may change."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.html import format_html
from kombu.exceptions import KombuError
from unfold.decorators import action, display

from features.admin_html import badge, bar, duration, json_block, link, list_link, short, table
from features.admin_tools import DefinitionAdmin
from features.models import EntityDefinition, FeatureDefinition, FeatureValue, KnownEntity, MaterializationRun
from features.redis_clients import REDIS_ERRORS
from features.tasks import materialize_run


def state_of(row: Any) -> str:
    if row.gone_at is not None:
        return "gone"
    return "enabled" if row.is_enabled in (True, None) else "disabled"


@admin.register(EntityDefinition)
class EntityDefinitionAdmin(DefinitionAdmin):
    list_display = ("name", "key", "shown_state", "description", "location")
    list_filter = (("gone_at", admin.EmptyFieldListFilter),)
    fields = ("name", "key", "description", "location", "gone_at", "created_at", "features", "known")
    readonly_fields = ("features", "known")
    operator_fields = ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="state")
    def shown_state(self, row: EntityDefinition) -> str:
        return badge(state_of(row))

    @display(description="features")
    def features(self, row: EntityDefinition) -> str:
        found = FeatureDefinition.objects.filter(entity=row.name)
        rows = [(link(FeatureDefinition, each.pk, each.name), each.mode, badge(state_of(each))) for each in found]
        return table(["Feature", "How values come about", "State"], rows)

    @display(description="known entities")
    def known(self, row: EntityDefinition) -> str:
        newest = KnownEntity.objects.filter(entity=row.name).order_by("-last_seen_at")[:10]
        rows = [(link(KnownEntity, each.pk, each.entity_key), f"{each.last_seen_at:%Y-%m-%d %H:%M}") for each in newest]
        return format_html(
            "{}{}", table([row.key, "Last seen (UTC)"], rows), list_link(KnownEntity, "All of them", entity=row.name)
        )


@admin.register(FeatureDefinition)
class FeatureDefinitionAdmin(DefinitionAdmin):
    operator_fields = ("is_enabled", "refresh_override", "is_scheduled")
    list_display = ("name", "entity", "mode", "shown_state", "is_scheduled", "shown_ttl", "location")
    list_filter = (*DefinitionAdmin.list_filter, "materialize", "is_scheduled")
    search_fields = ("name", "description", "entity", "trigger")
    readonly_fields = ("mode", "shown_default", "newest_values", "runs")
    fieldsets = (
        ("What you may change", {"fields": ("is_enabled", "refresh_override", "is_scheduled")}),
        (
            "As the code declares it",
            {
                "fields": (
                    ("name", "entity"), "description", "location", ("mode", "declared_refresh"),
                    ("materialize", "trigger"), ("ttl", "stale_tolerance"), "shown_default", ("created_at", "gone_at"),
                )
            },
        ),
        (None, {"fields": ("newest_values", "runs")}),
    )  # fmt: skip
    actions = ("materialize_now",)

    @display(description="state")
    def shown_state(self, row: FeatureDefinition) -> str:
        return badge(state_of(row))

    @display(description="TTL", ordering="ttl")
    def shown_ttl(self, row: FeatureDefinition) -> str:
        return duration(row.ttl)

    @display(description="how values come about")
    def mode(self, row: FeatureDefinition) -> str:
        return row.mode

    @display(description="default value")
    def shown_default(self, row: FeatureDefinition) -> str:
        return json_block(row.default_value)

    @display(description="newest values")
    def newest_values(self, row: FeatureDefinition) -> str:
        newest = FeatureValue.objects.filter(feature=row.name).order_by("-created_at")[:10]
        rows = [
            (link(FeatureValue, each.pk, each.entity_key), short(each.value),
             f"{each.event_timestamp:%Y-%m-%d %H:%M:%S}",
             each.get_source_display())
            for each in newest
        ]  # fmt: skip
        return format_html(
            "{}{}",
            table([row.entity, "Value", "True at (UTC)", "Source"], rows),
            list_link(FeatureValue, "All of them", feature=row.name),
        )

    @display(description="newest runs")
    def runs(self, row: FeatureDefinition) -> str:
        newest = MaterializationRun.objects.filter(feature=row.name)[:10]
        rows = [(link(MaterializationRun, run.pk, f"#{run.pk}"), badge(run.state), progress(run)) for run in newest]
        return table(["Run", "State", "Progress"], rows, "It was never materialised.")

    def has_materialize_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("features.change_featuredefinition")

    @action(description="Materialise now", permissions=["materialize"])
    def materialize_now(self, request: HttpRequest, rows: Any) -> None:
        for row in rows:
            if row.trigger:
                self.message_user(
                    request, f"{row.name}: its events compute it; there is nothing to run.", messages.WARNING
                )
            elif row.gone_at is not None or not row.is_enabled:
                self.message_user(request, f"{row.name} is {state_of(row)} and was not started.", messages.WARNING)
            else:
                self._start(request, row)

    def _start(self, request: HttpRequest, row: FeatureDefinition) -> None:
        run = MaterializationRun.objects.create(feature=row.name)
        try:
            materialize_run.delay(run.pk)
        except (KombuError, *REDIS_ERRORS):
            self.message_user(
                request,
                f"The broker does not answer: the run {run} is queued, and starts when it is back.",
                messages.ERROR,
            )
        else:
            self.message_user(
                request, format_html("Started: {}.", link(MaterializationRun, run.pk, run)), messages.SUCCESS
            )


def progress(run: MaterializationRun) -> str:
    """Draw how far a run is; the failed ones count as worked off."""
    worked = run.done + run.failed
    label = f"{worked:,} of {run.total:,}" + (f", {run.failed:,} failed" if run.failed else "")
    if not run.total:
        label = "none to do" if run.state == run.State.DONE else "not begun"
    tone = "bad" if run.state == run.State.FAILED else "warn" if run.failed else "good"
    return bar(worked, run.total, label, tone)
