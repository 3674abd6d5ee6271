"""Events: what happened to them, and a second chance for dead ones."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from unfold.decorators import action, display

from features.admin_html import badge, duration, folded, json_block, link, one_line, text_block
from features.admin_tools import JsonTextField, ListAdmin, NamesFilter, ReadOnlyInline, moment
from features.errors import FabraError
from features.events import AxiomEvent, requeue
from features.models import Event, FeatureValue, HandlerOutcome


class TypeFilter(NamesFilter):
    title = "type"
    parameter_name = column = "event_type"


class OutcomeInline(ReadOnlyInline):
    model = HandlerOutcome
    verbose_name_plural = "Handlers"
    fields = ("handler", "shown_state", "attempts", "shown_duration", "shown_detail", "updated_at")
    readonly_fields = ("shown_state", "shown_duration", "shown_detail", "updated_at")

    @display(description="state")
    def shown_state(self, row: HandlerOutcome) -> str:
        return badge("done" if row.is_done else "failed")

    @display(description="took")
    def shown_duration(self, row: HandlerOutcome) -> str:
        return "–" if row.duration_ms is None else duration(row.duration_ms / 1000)

    @display(description="result")
    def shown_detail(self, row: HandlerOutcome) -> str:
        if row.error:
            return folded(_last_line(row.error), text_block(row.error))
        return json_block(row.detail) if row.detail is not None else "–"


class EventForm(forms.ModelForm):  # type: ignore[type-arg]
    """A dead event's payload, to be put right."""

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
            event.validate()
        except FabraError as error:
            raise forms.ValidationError(str(error)) from None
        return payload


@admin.register(Event)
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
    list_filter = ("state", TypeFilter, "source", "received_at")
    list_defer = ("payload",)
    list_before_template = "admin/features/event/dead.html"
    search_fields = ("entity_id__startswith", "event_type__startswith", "event_id__exact")
    search_help_text = "The beginning of an entity's id or a type, or the event's whole id."
    sortable_by = ()
    inlines = (OutcomeInline,)
    actions = ("requeue_events",)
    readonly_fields = ("shown_state", "shown_payload", "shown_error_whole", "values_written", "took")
    change_form_template = "admin/features/event/change_form.html"

    def get_fieldsets(self, request: HttpRequest, obj: Event | None = None) -> Any:
        payload = "payload" if self.has_change_permission(request, obj) else "shown_payload"
        what, times = ("event_type", "entity_id"), ("took", "next_attempt_at")
        return (
            (None, {"fields": (what, ("shown_state", "attempts"), "shown_error_whole", payload)}),
            ("Effects", {"fields": ("values_written",)}),
            ("Times (UTC)", {"fields": (("occurred_at", "received_at"), ("started_at", "finished_at"), times)}),
            ("Identity", {"fields": (("source", "event_id"), "digest")}),
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
        return request.user.has_perm("features.change_event")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        dead = Event.objects.filter(state=Event.State.DEAD).values("pk")[:1000].count()
        return super().changelist_view(request, {**(extra_context or {}), "dead_events": dead})

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        extra = {"show_save_and_continue": False, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, extra)

    def save_model(self, request: HttpRequest, obj: Event, form: Any, change: bool) -> None:
        # The digest stays that of the body as it was sent, so that a sender's repetition is still known as one.
        Event.objects.filter(pk=obj.pk, state=Event.State.DEAD).update(payload=obj.payload)
        if "_requeue" in request.POST:
            requeue([obj.pk])
            self.message_user(request, "It is back in the queue.", messages.SUCCESS)

    @action(description="Requeue", permissions=["requeue"])
    def requeue_events(self, request: HttpRequest, rows: Any) -> None:
        with transaction.atomic():
            count = requeue(list(rows.values_list("pk", flat=True)))
        self.message_user(request, f"{count} back in the queue.", messages.SUCCESS if count else messages.WARNING)

    @display(description="state")
    def shown_state(self, event: Event) -> str:
        return badge(event.state)

    @display(description="payload")
    def shown_payload(self, event: Event) -> str:
        return json_block(event.payload)

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

    @display(description="values written")
    def values_written(self, event: Event) -> str:
        rows = FeatureValue.objects.filter(event=event)[:20]
        shown = format_html_join(", ", "{}", ((link(FeatureValue, row.pk, row),) for row in rows))
        return shown or "none"


def _last_line(error: str) -> str:
    lines = error.strip().splitlines()
    return lines[-1][:200] if lines else ""
