"""Admin of Django's users and groups, in the admin's theme: nobody gives, or takes over, more rights than their own."""

from typing import Any

from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from common.admin.permissions import GuardedAdmin, needs
from common.admin.site import register, site

site.unregister(User)
site.unregister(Group)

_RIGHTS = ("is_superuser", "is_staff", "groups", "user_permissions")


@register(User)
class UserAdmin(GuardedAdmin, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    @needs("change")
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        return super().user_change_password(request, id, form_url)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Let only superusers give rights."""
        fields = super().get_readonly_fields(request, obj)
        return fields if _is_superuser(request) else (*fields, *_RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _holds_all_of(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _holds_all_of(request, obj)


@register(Group)
class GroupAdmin(GuardedAdmin, DjangoGroupAdmin, ModelAdmin):
    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_change_permission(request, obj) and _holds_rights_of(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _holds_rights_of(request, obj)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any) -> Any:
        """Offer the permissions that the user holds."""
        field: Any = super().formfield_for_manytomany(db_field, request=request, **kwargs)
        if field is not None and request is not None and not _is_superuser(request):
            held = request.user.get_all_permissions()
            offered = [
                offered_permission.pk for offered_permission in field.queryset if _name_of(offered_permission) in held
            ]
            field.queryset = Permission.objects.filter(pk__in=offered)
        return field


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _holds_all_of(request: HttpRequest, user: User | None) -> bool:
    """Return whether the request's user has every right of the other: who sets a password can sign in with it."""
    if user is None or _is_superuser(request):
        return True
    return not user.is_superuser and request.user.get_all_permissions() >= user.get_all_permissions()


def _holds_rights_of(request: HttpRequest, group: Group | None) -> bool:
    if group is None or _is_superuser(request):
        return True
    permissions: QuerySet[Permission] = group.permissions.select_related("content_type")
    return request.user.get_all_permissions() >= {_name_of(offered_permission) for offered_permission in permissions}


def _name_of(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"
