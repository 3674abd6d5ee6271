"""Admin of the language models: which are asked, in which order, and what their calls in a trace came to."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from unfold.decorators import display

from chat.models import ModelProvider
from chat.providers.configured import config_of, environment_model
from common.admin.base import JsonTextField, ListAdmin
from common.admin.html import badge, code, one_line
from common.admin.site import register
from contexts.admin.trace_page import register_panel
from contexts.models import Trace


class ModelProviderForm(forms.ModelForm):  # type: ignore[type-arg]
    parameters = JsonTextField(
        rows=4, required=False, help_text='What each request has besides, such as {"reasoning_effort": "low"}.'
    )

    class Meta:
        model = ModelProvider
        fields = (
            "name", "position", "is_enabled", "base_url", "model", "key_variable", "connect_timeout_s", "timeout_s",
            "retries", "window", "max_tokens", "input_price_usd", "output_price_usd", "can_stream", "takes_system",
            "begins_with_thinking", "parameters",
        )  # fmt: skip


@register(ModelProvider)
class ModelProviderAdmin(ListAdmin):
    form = ModelProviderForm
    list_display = ("name", "position", "shown_model", "base_url", "shown_key", "shown_window", "shown_price", "state")
    list_before_template = "admin/chat/modelprovider/before.html"
    ordering = ("position", "id")
    sortable_by = ()
    fieldsets = (
        (None, {"fields": (("name", "position", "is_enabled"), ("base_url", "model"), "key_variable")}),
        ("Patience", {"fields": (("connect_timeout_s", "timeout_s", "retries"),)}),
        ("What it takes and costs", {"fields": (("window", "max_tokens"), ("input_price_usd", "output_price_usd"))}),
        ("What it can do", {"fields": (("can_stream", "takes_system", "begins_with_thinking"), "parameters")}),
    )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        extra = {"environment": environment_model(), **(extra_context or {})}
        return super().changelist_view(request, extra)

    @display(description="model")
    def shown_model(self, row: ModelProvider) -> str:
        return code(row.model)

    @display(description="key")
    def shown_key(self, row: ModelProvider) -> str:
        if not row.key_variable:
            return "–"
        return badge("usable" if config_of(row).key else "missing", label=row.key_variable)

    @display(description="window")
    def shown_window(self, row: ModelProvider) -> str:
        return f"{row.window:,}" if row.window else "–"

    @display(description="US$ a million tokens")
    def shown_price(self, row: ModelProvider) -> str:
        if row.input_price_usd is None or row.output_price_usd is None:
            return "–"
        return one_line(f"{row.input_price_usd.normalize():f} in, {row.output_price_usd.normalize():f} out")

    @display(description="state")
    def state(self, row: ModelProvider) -> str:
        return badge("enabled" if row.is_enabled else "disabled")


@register_panel
def calls_on_trace(request: HttpRequest, trace: Trace) -> SafeString | str:
    """Render the calls of models that a trace's answer took, where it took more than one that succeeded."""
    attempts = (trace.outcome or {}).get("attempts") or []
    if not any(attempt.get("code") != "ok" for attempt in attempts):
        return ""
    return render_to_string("admin/chat/trace/attempts.html", {"attempts": attempts})
