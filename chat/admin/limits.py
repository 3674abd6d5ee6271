"""Admin of the limits: one form for how many messages may be sent. Until it is saved, the settings say it."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminSelectWidget

from chat.access.callers import USER_KEY
from chat.limits.configured import MessageLimits, limits_of_settings
from chat.models import LimitSettings, TierLimit
from common.admin.base import ListAdmin
from common.admin.site import register, reverse_admin
from features import registry


class TierLimitForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = TierLimit
        fields = ("tier", "messages")

    def has_changed(self) -> bool:
        """Return True also for a row that has the settings' values: saving the form takes them over."""
        return bool(super().has_changed() or self.initial.get("tier"))


class TierLimitInline(TabularInline):
    model = TierLimit
    form = TierLimitForm
    fields = ("tier", "messages")
    verbose_name_plural = "Messages of each tier"

    def get_extra(self, request: HttpRequest, obj: LimitSettings | None = None, **kwargs: Any) -> int:
        return len(limits_of_settings().tiers) if obj is None else 0


class LimitSettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    tier_feature = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget,
        help_text="The feature whose value is a user's tier; contexts ask for what they need themselves.",
    )  # fmt: skip

    class Meta:
        model = LimitSettings
        fields = ("tier_feature", "window_min", "default_messages", "address_messages", "person_messages", "feedback")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "tier_feature" not in self.fields:
            return
        declared = [name for name, spec in registry.features.items() if spec.entity.key == USER_KEY]
        present = self.initial.get("tier_feature") or ""
        gone = [(present, f"{present} (not declared)")] if present and present not in declared else []
        choices = [("", "None: all users have the same limit"), *((name, name) for name in sorted(declared)), *gone]
        self.fields["tier_feature"].choices = choices  # type: ignore[attr-defined]


@register(LimitSettings)
class LimitSettingsAdmin(ListAdmin):
    """One row, whose form stands in the place of a list."""

    form = LimitSettingsForm
    inlines = (TierLimitInline,)
    change_form_template = "admin/chat/limitsettings/change_form.html"
    list_before_template = "admin/chat/limitsettings/before.html"
    fieldsets = (
        ("Users", {"fields": ("tier_feature", ("default_messages", "window_min"))}),
        ("Besides", {"fields": ("address_messages", ("person_messages", "feedback"))}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not LimitSettings.objects.exists()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        pk = LimitSettings.objects.order_by("pk").values_list("pk", flat=True).first()
        if pk is None and not self.has_add_permission(request):
            return super().changelist_view(request, {"limits": _shown(limits_of_settings()), **(extra_context or {})})
        page = reverse_admin("chat_limitsettings_change", pk) if pk else None
        if request.method == "POST":
            return HttpResponseRedirect(page or request.path)
        form_url = page or reverse_admin("chat_limitsettings_add")
        return self.changeform_view(request, str(pk) if pk else None, form_url, extra_context)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        extra = {
            "title": "Limits", "is_of_settings": object_id is None, "show_save_and_add_another": False,
            "show_save_and_continue": False, **(extra_context or {}),
        }  # fmt: skip
        return super().changeform_view(request, object_id, form_url, extra)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        limits = limits_of_settings()
        return {
            "tier_feature": limits.tier_feature, "window_min": max(1, round(limits.window.total_seconds() / 60)),
            "default_messages": limits.default, "address_messages": limits.address,
            "person_messages": limits.person, "feedback": limits.feedback,
        }  # fmt: skip

    def get_formset_kwargs(self, request: HttpRequest, obj: LimitSettings, inline: Any, prefix: str) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        if obj.pk is None:
            tiers = limits_of_settings().tiers
            kwargs["initial"] = [{"tier": tier, "messages": messages} for tier, messages in tiers.items()]
        return kwargs


def _shown(limits: MessageLimits) -> dict[str, Any]:
    """Return the limits for whoever may only see them."""
    tiers = [(f"the tier {tier}", messages) for tier, messages in limits.tiers.items()]
    rows = [
        *tiers,
        ("everybody else", limits.default),
        ("one address without an API key", limits.address),
        ("one user to a person", limits.person),
    ]
    return {"window_min": round(limits.window.total_seconds() / 60), "rows": rows}
