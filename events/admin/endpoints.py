"""Admin of webhook endpoints: add and test them, and see how their deliveries go."""

import re
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from common.admin.base import is_list, moment
from common.admin.html import admin_url, badge, list_link
from common.admin.site import register
from events.admin.endpoint_health import health_of, marks, recent_states
from events.admin.secrets import SecretAdmin
from events.deliveries import send_test
from events.models import WebhookDelivery, WebhookEndpoint
from events.models.endpoints import problems_of_patterns
from events.removal import delete_endpoint
from events.sending import problem_of_url

_TONES = {"paused": "warn", "being deleted": "warn"}


class EventTypesField(forms.CharField):
    """Edit a list of event types, one a line."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return list(dict.fromkeys(re.split(r"[\s,]+", str(super().to_python(value)).strip())))

    def validate(self, value: Any) -> None:
        if not any(value):
            raise forms.ValidationError(self.error_messages["required"], code="required")
        if wrong := problems_of_patterns(value):
            raise forms.ValidationError(f"No event type, nor a pattern with *: {', '.join(wrong)}")

    def run_validators(self, value: Any) -> None:
        """Run no validators: they are for text."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data or "") != (initial or []))


class WebhookEndpointForm(forms.ModelForm):  # type: ignore[type-arg]
    event_types = EventTypesField(
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "class": "fb-mono", "spellcheck": "false"}),
        help_text="One a line, such as feedback_given; * stands for any characters, as in conversation_*. What an "
        "event says is sent with it: * alone also sends the texts of changed pages.",
    )
    receivers_secret = forms.CharField(
        required=False, max_length=200, strip=True, label="The receiver's secret",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Where the receiver makes the secret itself, as another installation's webhook source does. "
        "It is kept encrypted and not shown again. Empty: the secret stays, or one is made and shown once.",
    )  # fmt: skip

    class Meta:
        model = WebhookEndpoint
        fields = ("name", "url", "event_types", "is_enabled")

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        if problem := problem_of_url(url):
            raise forms.ValidationError(problem)
        return url


@register(WebhookEndpoint)
class WebhookEndpointAdmin(SecretAdmin):
    form = WebhookEndpointForm
    list_display = (
        "name", "url", "shown_types", "shown_state", "recent", "failures", moment("last_success_at"),
    )  # fmt: skip
    list_filter = ("is_enabled",)
    search_fields = ("name", "url")
    actions = ("send_test_event", "rotate", "end_previous")
    readonly_fields = ("shown_state", "shown_secrets", "rotated_at", "created_at")
    change_form_template = "admin/events/webhookendpoint/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.annotate(recent_states=recent_states()) if is_list(request) else rows

    def get_fieldsets(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> Any:
        fields = ["name", "url", "event_types", "is_enabled"]
        if self.has_change_permission(request, obj) or obj is None:
            fields.append("receivers_secret")
        if obj is None:
            return ((None, {"fields": fields, "description": "Its secret is shown once, after you save."}),)
        return (
            (None, {"fields": fields}),
            (
                "Secret",
                {
                    "fields": (("shown_secrets", "rotated_at"), "created_at"),
                    "description": "An action of the list makes a new one; for a while messages are signed with both.",
                },
            ),
        )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not _is_being_deleted(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not _is_being_deleted(obj) and super().has_delete_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: WebhookEndpoint) -> None:
        if not delete_endpoint(obj):
            text = f"A worker removes the deliveries of {obj.name} first; nothing is sent any more."
            self.message_user(request, text, messages.INFO)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        for endpoint in queryset:
            self.delete_model(request, endpoint)

    def has_test_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.change_webhookendpoint")

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        endpoint = self.get_object(request, object_id) if object_id else None
        extra: dict[str, Any] = dict(extra_context or {})
        if isinstance(endpoint, WebhookEndpoint) and self.has_view_permission(request, endpoint):
            extra |= {"health": health_of(endpoint), "may_test": self.has_test_permission(request)}
            extra["may_see_deliveries"] = request.user.has_perm("events.view_webhookdelivery")
        return super().changeform_view(request, object_id, form_url, extra)

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        given = form.cleaned_data["receivers_secret"]
        if given:
            obj.give_secret(given)
        super().save_model(request, obj, form, change)
        if obj.is_enabled and {"is_enabled", "url"} & set(form.changed_data):
            obj.revive()
        if not change and not given:
            self.show_once(request, obj)

    @action(description="Send a test event", permissions=["test"])
    def send_test_event(self, request: HttpRequest, rows: QuerySet[WebhookEndpoint]) -> HttpResponse | None:
        enabled = list(rows.filter(is_enabled=True))
        deliveries = [send_test(endpoint, request.user.get_username()) for endpoint in enabled]
        if not deliveries:
            self.message_user(request, "Enable the endpoint first.", messages.WARNING)
            return None
        self.message_user(request, f"{len(deliveries)} on the way.", messages.SUCCESS)
        if len(deliveries) > 1 or not request.user.has_perm("events.view_webhookdelivery"):
            return None
        return HttpResponseRedirect(admin_url(WebhookDelivery, deliveries[0].pk))

    @display(description="state")
    def shown_state(self, endpoint: WebhookEndpoint) -> str:
        return badge(endpoint.state, _TONES.get(endpoint.state, ""))

    @display(description="event types")
    def shown_types(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.event_types)

    @display(description="recent deliveries")
    def recent(self, endpoint: Any) -> str:
        return list_link(WebhookDelivery, marks(endpoint.recent_states), endpoint__id__exact=endpoint.pk)

    @display(description="failures")
    def failures(self, endpoint: WebhookEndpoint) -> str:
        return f"{endpoint.failures_in_row} in a row" if endpoint.failures_in_row else "–"

    @display(description="valid secrets")
    def shown_secrets(self, row: Any) -> str:
        return "the receiver's" if row.given_secret else super().shown_secrets(row)


def _is_being_deleted(endpoint: Any) -> bool:
    return isinstance(endpoint, WebhookEndpoint) and endpoint.deleted_at is not None
