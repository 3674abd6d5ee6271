"""Admin of webhook deliveries: the log of what was sent where, and sending it again."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action, display

from common.admin.base import NamesFilter, ReadOnlyAdmin, ReadOnlyInline, distinct_values, moment
from common.admin.html import admin_url, badge, duration, folded, json_block, link, short, text_block
from common.admin.site import register
from events.admin.endpoint_health import TONES
from events.deliveries import send_again
from events.erasure import is_erased
from events.models import Event, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from events.sending import message_of


class DeliveryTypeFilter(NamesFilter):
    title = "type"
    parameter_name = "event_type"
    column = "event__event_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in distinct_values(Event, "event_type")]


class AttemptInline(ReadOnlyInline):
    model = WebhookAttempt
    verbose_name_plural = "Attempts"
    fields = ("attempted_at", "shown_result", "shown_duration", "shown_response")
    readonly_fields = ("shown_result", "shown_duration", "shown_response")

    @display(description="result")
    def shown_result(self, row: WebhookAttempt) -> str:
        return badge(
            row.error or "delivered", "bad" if row.error else "good", f"{row.status or ''} {row.error}".strip()
        )

    @display(description="took")
    def shown_duration(self, row: WebhookAttempt) -> str:
        return duration(row.duration_ms / 1000)

    @display(description="answer")
    def shown_response(self, row: WebhookAttempt) -> str:
        return folded(short(row.response, 60), text_block(row.response)) if row.response.strip() else "–"


@register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    list_display = (
        moment("created_at"), "endpoint", "event_type", "entity_id", "shown_state", "attempts", "status", "error",
        "next_attempt",
    )  # fmt: skip
    list_filter = ("state", "endpoint", DeliveryTypeFilter, "created_at")
    list_select_related = ("endpoint", "event")
    list_defer = ("event__payload", "event__error")
    search_fields = ("event__entity_id__startswith", "event__event_id__exact")
    search_help_text = "The beginning of an entity's id, or the event's whole id."
    sortable_by = ()
    inlines = (AttemptInline,)
    actions = ("send_again",)
    needs_permission = {"shown_event": "events.view_event", "shown_body": "events.view_event"}
    readonly_fields = ("shown_state", "shown_endpoint", "shown_event", "shown_body", "event_type", "next_attempt")
    change_form_template = "admin/events/webhookdelivery/change_form.html"
    fieldsets = (
        (None, {"fields": (("shown_endpoint", "event_type"), ("shown_state", "error"), "shown_event", "shown_body")}),
        ("Times (UTC)", {"fields": (("created_at", "finished_at"), ("next_attempt", "give_up_at"), "attempts")}),
    )

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.change_webhookdelivery")

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        extra = {"may_send_again": self.has_send_permission(request), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, extra)

    @action(description="Send again", permissions=["send"])
    def send_again(self, request: HttpRequest, rows: QuerySet[WebhookDelivery]) -> HttpResponse | None:
        pks = list(rows.values_list("pk", flat=True))
        disabled = WebhookEndpoint.objects.filter(deliveries__in=pks, is_enabled=False).distinct()
        names = ", ".join(disabled.values_list("name", flat=True))
        count = send_again(WebhookDelivery.objects.filter(pk__in=pks))
        self.message_user(request, f"{count} on the way again.", messages.SUCCESS)
        if names:
            self.message_user(request, f"Disabled, so its deliveries wait: {names}.", messages.WARNING)
        return HttpResponseRedirect(admin_url(WebhookDelivery, pks[0])) if count == 1 else None

    @display(description="state")
    def shown_state(self, row: WebhookDelivery) -> str:
        return badge(row.state, TONES[row.state], row.get_state_display().lower())

    @display(description="type", ordering="event__event_type")
    def event_type(self, row: WebhookDelivery) -> str:
        return row.event.event_type

    @display(description="entity")
    def entity_id(self, row: WebhookDelivery) -> str:
        return row.event.entity_id

    @display(description="next attempt")
    def next_attempt(self, row: WebhookDelivery) -> str:
        return f"{row.next_attempt_at:%Y-%m-%d %H:%M:%S}" if row.state in WebhookDelivery.WAITING else "–"

    @display(description="endpoint")
    def shown_endpoint(self, row: WebhookDelivery) -> str:
        return link(WebhookEndpoint, row.endpoint_id, row.endpoint.name)

    @display(description="event")
    def shown_event(self, row: WebhookDelivery) -> str:
        return link(Event, row.event_id, row.event)

    @display(description="body")
    def shown_body(self, row: WebhookDelivery) -> str:
        return "erased" if is_erased(row.event) else json_block(message_of(row.event))
