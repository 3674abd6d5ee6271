"""Admin of events: what happened to each, and editing and requeueing of dead ones."""

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action, display

from common.admin.base import JsonTextField, ListAdmin, NamesFilter, ReadOnlyInline, moment
from common.admin.html import (
    badge,
    duration,
    folded,
    json_block,
    one_line,
    short,
    table,
    text_block,
)
from common.admin.site import register, render
from common.errors import FabraError
from events.acceptance import accepted
from events.admin.event_flow import flow_page
from events.admin.event_page import changes_of, timeline
from events.dead_letters import edit_payload, is_unreadable_entry, requeue
from events.event import AxiomEvent
from events.models import Event, HandlerOutcome
from events.statistics import RANGES

_DRAWN = ("changed", "steps", "effect")
"""Keys of a handler's result that the page shows elsewhere."""


class EventTypeFilter(NamesFilter):
    title = "type"
    parameter_name = column = "event_type"


class OutcomeInline(ReadOnlyInline):
    model = HandlerOutcome
    verbose_name_plural = "Handlers"
    fields = ("handler", "shown_state", "attempts", "shown_duration", "changed", "shown_detail", "updated_at")
    readonly_fields = ("shown_state", "shown_duration", "changed", "shown_detail", "updated_at")

    @display(description="state")
    def shown_state(self, row: HandlerOutcome) -> str:
        return badge("done" if row.is_done else "failed")

    @display(description="took")
    def shown_duration(self, row: HandlerOutcome) -> str:
        return "–" if row.duration_ms is None else duration(row.duration_ms / 1000)

    @display(description="changed")
    def changed(self, row: HandlerOutcome) -> str:
        return changes_of(row)

    @display(description="result")
    def shown_detail(self, row: HandlerOutcome) -> str:
        if row.error:
            return folded(_last_line(row.error), text_block(row.error))
        detail = row.detail
        if row.is_done:
            detail = {name: value for name, value in (row.detail or {}).items() if name not in _DRAWN}
        return folded(short(detail, 60), json_block(detail)) if detail else "–"


class EventForm(forms.ModelForm):  # type: ignore[type-arg]
    """Correct a dead event's payload."""

    payload = JsonTextField(
        rows=16, help_text="A JSON object; the handlers that failed get it, those that succeeded do not run again."
    )

    class Meta:
        model = Event
        fields = ("payload",)

    def clean_payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = self.cleaned_data["payload"]
        event = AxiomEvent(event_type=self.instance.event_type, entity_id=self.instance.entity_id, payload=payload)
        try:
            accepted(event.validate())
        except FabraError as error:
            raise forms.ValidationError(str(error)) from None
        return payload


@register(Event)
class EventAdmin(ListAdmin):
    form = EventForm
    list_display = (
        moment("received_at"),
        "event_type",
        "entity_id",
        "shown_state",
        "attempts",
        "source",
        "took",
        "shown_error",
    )
    list_filter = ("state", EventTypeFilter, "source", "received_at")
    list_defer = ("payload",)
    list_before_template = "admin/events/event/dead.html"
    search_fields = ("entity_id__startswith", "event_type__startswith", "event_id__exact")
    search_help_text = "The beginning of an entity's id or a type, or the event's whole id."
    sortable_by = ()
    inlines = (OutcomeInline,)
    actions = ("requeue_events",)
    actions_list = ("flow",)
    readonly_fields = ("shown_state", "shown_payload", "shown_error_whole", "shown_edits", "took")
    change_form_template = "admin/events/event/change_form.html"

    def get_fieldsets(self, request: HttpRequest, obj: Event | None = None) -> Any:
        payload = "payload" if self.has_change_permission(request, obj) else "shown_payload"
        what, times = ("event_type", "entity_id"), ("took", "next_attempt_at")
        edits = ("shown_edits",) if obj and obj.edits.exists() else ()
        return (
            (None, {"fields": (what, ("shown_state", "attempts"), "shown_error_whole", payload, *edits)}),
            ("Times (UTC)", {"fields": (("occurred_at", "received_at"), ("started_at", "finished_at"), times)}),
            ("Identity", {"fields": (("source", "sender"), ("event_id", "digest"))}),
        )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Event | None = None) -> list[str]:
        fields = [field.name for field in self.opts.fields if field.name not in ("id", "payload")]
        return [*fields, *self.readonly_fields]

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup == "sender" or super().lookup_allowed(lookup, value, request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return isinstance(obj, Event) and obj.state == Event.State.DEAD and self.has_requeue_permission(request)

    def has_requeue_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("events.change_event")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        dead = Event.objects.filter(state=Event.State.DEAD).values("pk")[:1000].count()
        return super().changelist_view(request, {**(extra_context or {}), "dead_events": dead})

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        event = self.get_object(request, object_id) if object_id else None
        extra: dict[str, Any] = {"show_save_and_continue": False, **(extra_context or {})}
        if isinstance(event, Event) and self.has_view_permission(request, event):
            outcomes = list(event.outcomes.order_by("pk"))
            extra |= {"timeline": timeline(event, outcomes), "is_unreadable_entry": is_unreadable_entry(event)}
        return super().changeform_view(request, object_id, form_url, extra)

    def save_model(self, request: HttpRequest, obj: Event, form: Any, change: bool) -> None:
        if edit_payload(obj, obj.payload, request.user.get_username()):
            self.message_user(request, "The payload was changed; what it was stays below.", messages.SUCCESS)
        if "_requeue" in request.POST:
            self._requeue(request, Event.objects.filter(pk=obj.pk))

    @action(description="Throughput, lag and failures", url_path="flow", permissions=["view"], icon="monitoring")
    def flow(self, request: HttpRequest) -> HttpResponse:
        span = RANGES.get(request.GET.get("range", ""), RANGES["1h"])
        page = {"title": "Event statistics", "opts": self.opts, **flow_page(span)}
        return render(request, "admin/events/event/flow.html", self.admin_site.each_context(request) | page)

    @action(description="Requeue", permissions=["requeue"])
    def requeue_events(self, request: HttpRequest, rows: Any) -> None:
        self._requeue(request, rows)

    def _requeue(self, request: HttpRequest, rows: QuerySet[Event]) -> None:
        asked, count = rows.count(), requeue(rows)
        text = f"{count} back in the queue."
        if count < asked:
            text += f" {asked - count} left: not ended, or a stream entry that still is no event."
        self.message_user(request, text, messages.SUCCESS if count == asked else messages.WARNING)

    @display(description="state")
    def shown_state(self, event: Event) -> str:
        return badge(event.state)

    @display(description="payload")
    def shown_payload(self, event: Event) -> str:
        return json_block(event.payload)

    @display(description="edits of the payload")
    def shown_edits(self, event: Event) -> str:
        rows = (
            (f"{edit.edited_at:%Y-%m-%d %H:%M:%S}", edit.edited_by, json_block(edit.before), json_block(edit.after))
            for edit in event.edits.all()
        )
        return table(["edited", "by", "before", "after"], rows)

    @display(description="error")
    def shown_error(self, event: Event) -> str:
        return _last_line(event.error)

    @display(description="error")
    def shown_error_whole(self, event: Event) -> str:
        return folded(_last_line(event.error), text_block(event.error)) if event.error else "–"

    @display(description="took")
    def took(self, event: Event) -> str:
        if event.started_at is None or event.finished_at is None:
            return "–"
        return one_line(duration(event.finished_at - event.started_at))


def _last_line(error: str) -> str:
    lines = error.strip().splitlines()
    return lines[-1][:200] if lines else ""
