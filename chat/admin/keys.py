"""Admin of API keys: a key is created here, shown once, bound, rotated and revoked."""

import re
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display

from chat.access.permissions import may_hold
from chat.admin.key_forms import ApiKeyForm, KeyBoundsForm, RotationForm
from chat.admin.key_page import state_badge, summary_of
from chat.models import ApiKey
from chat.models.keys import RotationRefused
from common.admin.base import ListAdmin, moment
from common.admin.html import admin_url, badge, badges, code, one_line
from common.admin.site import register, render
from common.errors import FabraError


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


@register(ApiKey)
class ApiKeyAdmin(ListAdmin):
    form = KeyBoundsForm
    change_form_template = "admin/chat/apikey/change_form.html"
    list_display = (
        "name", "shown_key", "shown_scopes", "shown_bounds", "owner", "shown_state", moment("last_used_at"),
    )  # fmt: skip
    list_select_related = ("owner",)
    list_filter = (UsableFilter, "kind")
    search_fields = ("name", "start__startswith", "previous_start__startswith")
    actions = ("end_previous", "revoke")
    actions_detail = ("rotate",)
    readonly_fields = ("shown_scopes", "shown_kind", "owner", "created_at", "revoked_at")

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        once: dict[str, Any] = {
            "fields": ("name", "kind", "scopes", "expires_at"),
            "description": "The key is shown once, after you save.",
        }
        known: dict[str, Any] = {
            "fields": (("name", "expires_at"), ("shown_kind", "shown_scopes"), ("owner", "created_at", "revoked_at"))
        }
        bounds = ("What it is bound to", {"fields": ("bot", "indexes", "contexts", "users", "networks", "origins")})
        limits = {"fields": (("per_minute", "per_day"), ("daily_budget_usd", "monthly_budget_usd"))}
        return ((None, known if obj else once), bounds, ("Its own limits", limits))

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = KeyBoundsForm if obj else ApiKeyForm
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.maker = request.user
        return form

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_open = not isinstance(obj, ApiKey) or obj.revoked_at is None
        return is_open and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a revoked key stays as a record

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("chat.change_apikey")

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            # Only what the form has: the row's secrets may have been rotated meanwhile, and its use noted.
            obj.save(update_fields=form.changed_data or ["name"])
            return
        obj.owner = request.user  # type: ignore[assignment]
        key = obj.renew()
        obj.save()
        self._show_once(request, key)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        key = self.get_object(request, object_id) if object_id else None
        extra: dict[str, Any] = {"show_save_and_add_another": False, **(extra_context or {})}
        if isinstance(key, ApiKey) and self.has_view_permission(request, key):
            extra |= {"summary": summary_of(key), "may_revoke": self.has_revoke_permission(request)}
            extra["may_see_audit"] = request.user.has_perm("chat.view_auditentry")
        return super().changeform_view(request, object_id, form_url, extra)

    @action(description="Rotate", permissions=["revoke"], url_path="rotate", icon="sync")
    def rotate(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Make a new secret; the present one goes on working for a while."""
        if not re.fullmatch(r"[0-9]{1,18}", str(object_id)):
            raise Http404
        key = get_object_or_404(ApiKey.objects.select_related("owner"), pk=object_id)
        form = RotationForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                if not may_hold(request.user, key):
                    raise RotationRefused("Whoever rotates a key gets its secret: you may not do all that it may.")
                secret = key.rotate(form.overlap_of())
            except FabraError as error:
                form.add_error(None, str(error))
            else:
                self.log_change(request, key, "Rotated.")
                self._show_once(request, secret)
                return HttpResponseRedirect(admin_url(ApiKey, key.pk))
        page = {
            "title": f"Rotate {key.name}", "opts": self.opts, "original": key, "form": form, "submit": "Rotate",
            "intro": "The key gets a new secret, which is shown once. Its scopes, bounds and limits stay.",
        }  # fmt: skip
        shared = self.admin_site.each_context(request) | {"media": self.media + form.media}
        return render(request, "admin/form_page.html", shared | page)

    @action(description="End the previous secret now", permissions=["revoke"])
    def end_previous(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        ended = [key for key in rows if key.end_previous()]
        self._log_changes(request, ended, "The previous secret was ended.", "ended")

    @action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        revoked = list(rows.filter(revoked_at=None))
        rows.filter(revoked_at=None).update(revoked_at=timezone.now())
        self._log_changes(request, revoked, "Revoked.", "revoked")

    def _log_changes(self, request: HttpRequest, keys: list[ApiKey], change: str, what: str) -> None:
        for key in keys:
            self.log_change(request, key, change)
        self.message_user(request, f"{len(keys)} {what}.", messages.SUCCESS if keys else messages.WARNING)

    def _show_once(self, request: HttpRequest, key: str) -> None:
        text = 'Copy it now, it is not shown again: <code class="fb-key">{}</code>'
        self.message_user(request, format_html(text, key), messages.WARNING)

    @display(description="key")
    def shown_key(self, key: ApiKey) -> str:
        shown = one_line(code(f"{key.start}…"))
        return format_html("{} {}", shown, badge("rotating", "info")) if key.has_previous else shown

    @display(description="kind")
    def shown_kind(self, key: ApiKey) -> str:
        return key.get_kind_display()

    @display(description="scopes")
    def shown_scopes(self, key: ApiKey) -> str:
        return badges(key.scopes, "info")

    @display(description="state", ordering="expires_at")
    def shown_state(self, key: ApiKey) -> str:
        if not key.expires_at or not key.is_usable:
            return state_badge(key)
        return format_html("{} {}", state_badge(key), one_line(f"until {key.expires_at:%Y-%m-%d}"))

    @display(description="bound to")
    def shown_bounds(self, key: ApiKey) -> str:
        names = (
            ("index", "indexes", key.indexes),
            ("context", "contexts", key.contexts),
            ("user", "users", key.users),
            ("address", "addresses", key.networks),
            ("origin", "origins", key.origins),
        )
        bounds = [f"{len(bound)} {one if len(bound) == 1 else many}" for one, many, bound in names if bound]
        limits = [f"{limit:,} a {name}" for name, limit in (("minute", key.per_minute), ("day", key.per_day)) if limit]
        budgets = (("day", key.daily_budget_usd), ("month", key.monthly_budget_usd))
        limits += [f"${budget.normalize():f} a {name}" for name, budget in budgets if budget]
        return ", ".join([*([f"bot {key.bot}"] if key.bot else []), *bounds, *limits]) or "–"
