"""Admin pages of feature values with their history, and of the known entities."""

from typing import Any

from django.utils.html import format_html
from unfold.decorators import display

from common.admin.base import NamesFilter, ReadOnlyAdmin, moment
from common.admin.html import code, duration, json_block, link, list_link, short, table
from common.admin.site import register
from events.models import Event
from features.admin.charts import history_drawing, sparkline
from features.models import FeatureDefinition, FeatureValue, KnownEntity, MaterializationRun
from features.offline import stored_values

_HISTORY = 50


class FeatureFilter(NamesFilter):
    title = parameter_name = column = "feature"


class EntityFilter(NamesFilter):
    title = parameter_name = column = "entity"


@register(FeatureValue)
class FeatureValueAdmin(ReadOnlyAdmin):
    list_display = (
        "entity_key",
        "feature",
        "shown_value",
        moment("event_timestamp"),
        moment("created_at"),
        "source",
        "entity",
    )
    list_filter = (FeatureFilter, EntityFilter, "source", "created_at")
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("entity_key__startswith", "feature__startswith")
    search_help_text = "The beginning of an entity's key or a feature's name."
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("feature", "entity", "entity_key"),
                    "whole_value",
                    ("event_timestamp", "created_at", "confirmed"),
                )
            },
        ),
        ("Where it is from", {"fields": (("source", "from_run", "from_event"),)}),
        (None, {"fields": ("history",)}),
    )
    readonly_fields = ("whole_value", "confirmed", "from_run", "from_event", "history")

    @display(description="value")
    def shown_value(self, row: FeatureValue) -> str:
        return code(short(row.value))

    @display(description="value")
    def whole_value(self, row: FeatureValue) -> str:
        return json_block(row.value)

    @display(description="last computed unchanged")
    def confirmed(self, row: FeatureValue) -> str:
        [(_, stored)] = stored_values([row])
        is_later = stored.event_timestamp > row.event_timestamp
        return f"{stored.event_timestamp:%Y-%m-%d %H:%M:%S}" if is_later else "–"

    @display(description="run")
    def from_run(self, row: FeatureValue) -> str:
        return link(MaterializationRun, row.run_id, f"run #{row.run_id}")

    @display(description="event")
    def from_event(self, row: FeatureValue) -> str:
        return link(Event, row.event_id, f"event #{row.event_id}")

    @display(description="history of this feature for this entity")
    def history(self, row: FeatureValue) -> str:
        same = FeatureValue.objects.of(row.entity, row.entity_key).filter(feature=row.feature)
        newest = list(same.order_by("-event_timestamp", "-created_at", "-id")[:_HISTORY])
        drawn = sparkline(newest[::-1]) or ""
        shown = table(_HEADINGS, [_line(value, value.pk == row.pk) for value in newest])
        note = f"The newest {len(newest)}, by the time they were true at."
        return format_html('{}{}<p class="fb-note">{}</p>', drawn, shown, note)


_HEADINGS = ("Value", "True at (UTC)", "Learned after", "Source", "")


def _line(row: FeatureValue, is_this: bool = False) -> tuple[Any, ...]:
    return (
        code(short(row.value, 120)),
        link(FeatureValue, row.pk, f"{row.event_timestamp:%Y-%m-%d %H:%M:%S.%f}"[:-3]),
        duration(row.created_at - row.event_timestamp),
        row.get_source_display(),
        "this one" if is_this else "",
    )


@register(KnownEntity)
class KnownEntityAdmin(ReadOnlyAdmin):
    list_display = ("entity_key", "entity", moment("first_seen_at"), moment("last_seen_at"))
    list_filter = (EntityFilter, "last_seen_at")
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("entity_key__startswith",)
    search_help_text = "The beginning of an entity's key."
    fields = (("entity", "entity_key"), ("first_seen_at", "last_seen_at"), "current", "all_values")
    readonly_fields = ("current", "all_values")
    needs_permission = dict.fromkeys(readonly_fields, "features.view_featurevalue")

    @display(description="current values")
    def current(self, row: KnownEntity) -> str:
        names = list(FeatureDefinition.objects.filter(entity=row.entity).values_list("name", flat=True))
        newest = FeatureValue.objects.latest_of(row.entity, [row.entity_key], names)
        rows = [(value.feature, *_line(value)[:-1], self._history(row, value.feature)) for value in newest]
        return table(("Feature", *_HEADINGS[:-1], "History"), rows)

    def _history(self, row: KnownEntity, feature: str) -> str:
        histories = FeatureValue.objects.all().histories(row.entity, [row.entity_key], feature)
        return history_drawing(histories[row.entity_key])

    @display(description="history")
    def all_values(self, row: KnownEntity) -> str:
        return list_link(FeatureValue, "All values of this entity", entity=row.entity, q=row.entity_key)
