"""Admin of API keys: a key is created here, shown once, and revoked here."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display

from chat.admin.key_forms import ApiKeyForm
from chat.models import ApiKey
from common.admin.base import ListAdmin
from common.admin.html import badge, badges


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
    list_display = (
        "name", "shown_start", "shown_scopes", "shown_bounds", "owner", "shown_state", "expires_at", "last_used_at",
    )  # fmt: skip
    list_select_related = ("owner",)
    list_filter = (UsableFilter,)
    search_fields = ("name", "start__startswith")
    actions = ("revoke",)

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        bounds = ("What it is bound to", {"fields": ("indexes", "users", "networks")})
        limits = ("Its own limit", {"fields": (("per_minute", "per_day"),)})
        if obj is None:
            once = {"fields": ("name", "scopes", "expires_at"), "description": "The key is shown once, after you save."}
            return ((None, once), bounds, limits)
        fields = (
            ("name", "shown_state"),
            ("shown_start", "shown_scopes"),
            ("owner", "last_used_at"),
            ("created_at", "expires_at", "revoked_at"),
        )
        shown = ("What it is bound to", {"fields": (("shown_indexes", "shown_users", "shown_networks"),)})
        return ((None, {"fields": fields}), shown, limits)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ("shown_start", "shown_scopes", "shown_state", "shown_indexes", "shown_users", "shown_networks")

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.maker = request.user
        return form

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a revoked key stays as a record

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("chat.change_apikey")

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        obj.owner = request.user  # type: ignore[assignment]
        key = obj.renew()
        obj.save()
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

    @display(description="bound to")
    def shown_bounds(self, key: ApiKey) -> str:
        names = (
            ("index", "indexes", key.indexes),
            ("user", "users", key.users),
            ("address", "addresses", key.networks),
        )
        bounds = [f"{len(bound)} {one if len(bound) == 1 else many}" for one, many, bound in names if bound]
        limits = [f"{limit:,} a {name}" for name, limit in (("minute", key.per_minute), ("day", key.per_day)) if limit]
        return ", ".join([*bounds, *limits]) or "–"

    @display(description="indexes")
    def shown_indexes(self, key: ApiKey) -> str:
        return badges(key.indexes, "plain") if key.indexes else "all"

    @display(description="users")
    def shown_users(self, key: ApiKey) -> str:
        return badges(key.users, "plain") if key.users else "all"

    @display(description="addresses")
    def shown_networks(self, key: ApiKey) -> str:
        return badges(key.networks, "plain") if key.networks else "all"
