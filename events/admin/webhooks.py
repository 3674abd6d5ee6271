"""Admin of webhook sources."""

from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from common.admin.base import JsonTextField, moment
from common.admin.html import badge, code, list_link
from common.admin.site import register
from events.admin.secrets import SecretAdmin
from events.models import Event, WebhookSource
from events.receiving import receiving_path
from events.webhooks import problems_of

_EXAMPLE = """{
  "event_type": {"$.event": {"entry.publish": "doc_updated", "entry.delete": "doc_deleted"}},
  "entity_id": "$.entry.slug",
  "occurred_at": "$.entry.updated_at",
  "payload": {"content": "$.entry.body", "title": "$.entry.title", "metadata": {"category": "$.entry.category"}}
}"""


class WebhookSourceForm(forms.ModelForm):  # type: ignore[type-arg]
    mapping = JsonTextField(
        rows=12,
        help_text=format_html(
            "{{}}: the sender posts an event as POST /api/events/ takes it. Else the event's parts, in which"
            " $. begins a path of the sender's JSON, and an object with a path as its key chooses by the value there;"
            " a message without an event type is answered 204 and left alone. For example:"
            '<pre class="fb-pre">{}</pre>',
            _EXAMPLE,
        ),
    )

    class Meta:
        model = WebhookSource
        fields = ("name", "mapping", "is_enabled")

    def clean_mapping(self) -> dict[str, Any]:
        mapping: dict[str, Any] = self.cleaned_data["mapping"]
        if problems := list(problems_of(mapping)):
            raise forms.ValidationError(problems)
        return mapping


@register(WebhookSource)
class WebhookSourceAdmin(SecretAdmin):
    form = WebhookSourceForm
    list_display = ("name", "url", "shown_state", "shown_secrets", moment("rotated_at"), "events")
    search_fields = ("name",)
    actions = ("rotate", "end_previous")
    readonly_fields = ("url", "shown_secrets", "rotated_at", "created_at", "events")

    def get_fieldsets(self, request: HttpRequest, obj: WebhookSource | None = None) -> Any:
        fields = ("name", "is_enabled", "mapping")
        if obj is None:
            return ((None, {"fields": fields, "description": "Its secret is shown once, after you save."}),)
        return (
            (None, {"fields": (("url", "events"), *fields)}),
            (
                "Secret",
                {
                    "fields": (("shown_secrets", "rotated_at"), "created_at"),
                    "description": "An action of the list makes a new one; the present one stays valid for a while.",
                },
            ),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: WebhookSource | None = None) -> tuple[str, ...]:
        # The name is fixed: events refer to their source by it, and it is part of the URL that the sender uses.
        return (*self.readonly_fields, "name") if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: WebhookSource, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            self.show_once(request, obj)

    @display(description="POST to")
    def url(self, source: WebhookSource) -> str:
        return code(path) if (path := receiving_path(source.name)) else "–"

    @display(description="state")
    def shown_state(self, source: WebhookSource) -> str:
        return badge("enabled" if source.is_enabled else "disabled")

    @display(description="received")
    def events(self, source: WebhookSource) -> str:
        return list_link(Event, "events", sender=source.name)
