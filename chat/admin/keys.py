"""Admin of API keys: a key is created here, shown once, and revoked here."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from chat.models import ApiKey
from common.admin.base import ListAdmin
from common.admin.html import badge, badges


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=ApiKey.Scope.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="chat: POST /chat. ingest: documents, events, search. debug: the debug endpoint, feature values.",
    )

    class Meta:
        model = ApiKey
        fields = ("name", "scopes", "expires_at")

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError("That is in the past.")
        return expires_at


class UsableFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("usable", "Usable"), ("ended", "Revoked or expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        usable = ApiKey.objects.usable().values("pk")
        if self.value() == "usable":
            return queryset.filter(pk__in=usable)
        return queryset.exclude(pk__in=usable) if self.value() == "ended" else queryset


@admin.register(ApiKey)
class ApiKeyAdmin(ListAdmin):
    form = ApiKeyForm
    list_display = ("name", "shown_start", "shown_scopes", "shown_state", "expires_at", "last_used_at", "created_at")
    list_filter = (UsableFilter,)
    search_fields = ("name", "start__startswith")
    actions = ("revoke",)

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is None:
            return (
                (
                    None,
                    {
                        "fields": ("name", "scopes", "expires_at"),
                        "description": "The key is shown once, after you save.",
                    },
                ),
            )
        fields = (
            ("name", "shown_state"),
            ("shown_start", "shown_scopes"),
            ("created_at", "last_used_at"),
            ("expires_at", "revoked_at"),
        )
        return ((None, {"fields": fields}),)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ("shown_start", "shown_scopes", "shown_state")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a revoked key stays as a record

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("chat.change_apikey")

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        row, key = ApiKey.make(obj.name, sorted(form.cleaned_data["scopes"]), obj.expires_at)
        for field in self.opts.concrete_fields:
            setattr(obj, field.attname, getattr(row, field.attname))
        obj._state.adding = False
        self.message_user(
            request,
            format_html('Copy it now, it is not shown again: <code class="fb-key">{}</code>', key),
            messages.WARNING,
        )

    @action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        count = rows.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"{count} revoked.", messages.SUCCESS if count else messages.WARNING)

    @display(description="key")
    def shown_start(self, key: ApiKey) -> str:
        return format_html('<code class="fb-code">{}…</code>', key.start)

    @display(description="scopes")
    def shown_scopes(self, key: ApiKey) -> str:
        return badges(key.scopes, "info")

    @display(description="state")
    def shown_state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return badge("revoked")
        return badge("usable" if key.is_usable else "expired")
