"""Admin of declared contexts: the operator can change `is_enabled` and the token budget."""

from typing import Any

from django import forms
from django.utils.html import format_html
from unfold.decorators import display

from common.admin.base import DefinitionAdmin, state_of
from common.admin.html import badge, link, short, table
from common.admin.site import register
from contexts.models import ContextDefinition, Trace
from contexts.registry import contexts
from features.models import FeatureDefinition


class ContextForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = ContextDefinition
        fields = ("is_enabled", "max_tokens_override")

    def clean_max_tokens_override(self) -> int | None:
        budget: int | None = self.cleaned_data["max_tokens_override"]
        if budget == 0:
            raise forms.ValidationError("A budget must be at least one token; leave it empty for the declared one.")
        return budget


@register(ContextDefinition)
class ContextDefinitionAdmin(DefinitionAdmin):
    form = ContextForm
    operator_fields = ("is_enabled", "max_tokens_override")
    list_display = ("name", "budget", "model", "overflow", "freshness_sla", "shown_state", "location")
    readonly_fields = ("features", "traces")
    needs_permission = {"features": "features.view_featuredefinition", "traces": "contexts.view_trace"}
    fieldsets = (
        ("What you may change", {"fields": ("is_enabled", "max_tokens_override")}),
        (
            "As the code declares it",
            {
                "fields": (
                    "name", "description", "location", ("declared_max_tokens", "model"),
                    ("overflow", "freshness_sla", "freshness_strict"), ("created_at", "gone_at"),
                    "features",
                )
            },
        ),
        (None, {"fields": ("traces",)}),
    )  # fmt: skip

    @display(description="token budget")
    def budget(self, row: ContextDefinition) -> str:
        changed = f" (declared {row.declared_max_tokens:,})" if row.max_tokens_override else ""
        return f"{row.max_tokens:,}{changed}"

    @display(description="state")
    def shown_state(self, row: ContextDefinition) -> str:
        return badge(state_of(row))

    @display(description="feature set")
    def features(self, row: ContextDefinition) -> str:
        spec = contexts.get(row.name)
        if spec is None or spec.features is None:
            return "None: what it reads of the feature store, its function asks for itself."
        declared = {found.name: found for found in FeatureDefinition.objects.filter(name__in=spec.features.features)}
        rows = [
            (link(FeatureDefinition, declared[name].pk, name), declared[name].mode, badge(state_of(declared[name])))
            for name in spec.features.features
            if name in declared
        ]
        return format_html(
            "<p>{}</p>{}", spec.features.name, table(["Feature", "How values come about", "State"], rows)
        )

    @display(description="newest traces")
    def traces(self, row: ContextDefinition) -> Any:
        newest = (
            Trace.objects.filter(context=row.name)
            .order_by("-created_at")
            .only("query", "user_id", "state", "created_at")
        )
        rows = [
            (
                link(Trace, trace.pk, f"{trace.created_at:%Y-%m-%d %H:%M:%S}"),
                trace.user_id,
                short(trace.query),
                badge(trace.state),
            )
            for trace in newest[:10]
        ]
        return table(["Assembled (UTC)", "User", "Question", "State"], rows)
