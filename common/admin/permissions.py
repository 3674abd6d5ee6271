"""Every page and action of the admin needs a permission: the one that it declares, else that for viewing its table."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import update_wrapper, wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, ImproperlyConfigured, PermissionDenied, ValidationError
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils.text import capfirst
from unfold.admin import ModelAdmin

from common.admin.deletion import may_go_along, rows_with
from common.admin.site import site

VIEW_DEFAULT = ("view",)
_YEAR = re.compile("0*[1-9][0-9]{0,3}")
_OWN_PAGES = ("changelist", "add", "history", "delete", "change")
"""The pages that Django has for each table; it checks them itself."""

View = Callable[..., Any]


def needs(*permissions: str) -> Callable[[View], View]:
    """Let whoever has these permissions call a view: `app.codename`, or in a ModelAdmin `name` for has_name_permission.

    A ModelAdmin's actions declare theirs in `@action(permissions=["name"])`, which is the same; not `app.codename`
    there, for which Unfold would ask the database in its system check, before there are tables.
    """

    def declare(view: View) -> View:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if isinstance(args[0], GuardedAdmin):
                is_allowed = args[0].is_allowed(args[1], permissions)
            else:
                is_allowed = args[0].user.has_perms(permissions)
            if not is_allowed:
                raise PermissionDenied
            return view(*args, **kwargs)

        checked.allowed_permissions = permissions  # type: ignore[attr-defined]
        checked.is_checked = True  # type: ignore[attr-defined]
        return checked

    return declare


def admin_page(view: View, site: AdminSite = site) -> View:
    """Return a view of the admin's that belongs to no table, for its URL; it must say what it `needs`."""
    if not hasattr(view, "allowed_permissions"):
        raise ImproperlyConfigured(f"{view.__qualname__} needs a permission: see common/admin/permissions.py.")
    page: View = site.admin_view(view)
    return page


class GuardedAdmin(ModelAdmin):
    """Check the declared permissions at each URL of a table's, and give no bulk action to everyone."""

    needs_permission: Mapping[str, str] = {}
    """Fields that show rows of other tables, each with the permission for those; without it the field is left out."""
    has_only_program_rows = False
    """Whether rows go with what they belong to, whoever may delete that."""

    @property
    def urls(self) -> list[Any]:
        return [self._guard(pattern) for pattern in self.get_urls()]

    def _guard(self, pattern: Any) -> Any:
        if not isinstance(pattern, URLPattern) or self._is_own(pattern):
            return pattern
        permissions = permissions_of(pattern.callback)
        view = pattern.callback

        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            # Whoever is not signed in at all is sent to the sign-in page by the view.
            if self.admin_site.has_permission(request) and not self.is_allowed(request, permissions):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        is_checked = getattr(view, "is_checked", False)  # by itself, after it has looked at the method
        callback: Any = view if is_checked else update_wrapper(guarded, view)
        callback.allowed_permissions, callback.model_admin = permissions, self
        return URLPattern(pattern.pattern, callback, pattern.default_args, pattern.name)

    def _is_own(self, pattern: URLPattern) -> bool:
        table = f"{self.opts.app_label}_{self.opts.model_name}"
        return pattern.name is None or pattern.name in {f"{table}_{page}" for page in _OWN_PAGES}

    def is_allowed(self, request: HttpRequest, permissions: Iterable[str]) -> bool:
        return all(
            request.user.has_perm(name) if "." in name else getattr(self, f"has_{name}_permission")(request)
            for name in permissions
        )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        self._check_values(request)
        return super().changelist_view(request, extra_context)

    def _check_values(self, request: HttpRequest) -> None:
        """Raise BadRequest for years and keys of rows that cannot be, which Django finds out in the query only."""
        for name, values in request.GET.lists():
            if not {"year", "iso_year"}.isdisjoint(name.split("__")) and not all(map(_YEAR.fullmatch, values)):
                raise BadRequest("A year has one to four digits.")
        for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.to_python(key)
            except ValidationError:
                raise BadRequest("A row that is chosen for an action has no such key.") from None

    def get_actions(self, request: HttpRequest) -> Any:
        """Leave out an action that declares no permissions, where the user may not change the table's rows."""
        actions = super().get_actions(request)
        if self.has_change_permission(request):
            return actions
        return {name: action for name, action in actions.items() if hasattr(action[0], "allowed_permissions")}

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Count what goes with the rows, instead of reading it; what may be protected is left to Django."""
        rows = list(objs)
        counts = rows_with(self.model._base_manager.filter(pk__in=[row.pk for row in rows]))
        if counts is None:
            return super().get_deleted_objects(objs, request)
        refused = [model for model in counts if not may_go_along(request, self.admin_site, model)]
        if not all(self.has_delete_permission(request, row) for row in rows):
            refused.append(self.model)
        shown = {self.opts.verbose_name_plural: len(rows)}
        shown |= {model._meta.verbose_name_plural: count for model, count in counts.items()}
        names = [f"{capfirst(self.opts.verbose_name)}: {row}" for row in rows]
        return names, shown, {model._meta.verbose_name for model in refused}, []

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.permitted(request, super().get_fieldsets(request, obj))

    def permitted(self, request: HttpRequest, fieldsets: Any) -> Any:
        """Return the fieldsets without the fields of `needs_permission` that the user may not see."""
        hidden = {name for name, permission in self.needs_permission.items() if not request.user.has_perm(permission)}
        if not hidden:
            return fieldsets
        left = [(title, {**options, "fields": _without(options["fields"], hidden)}) for title, options in fieldsets]
        return [(title, options) for title, options in left if options["fields"]]


def permissions_of(view: Any) -> tuple[str, ...]:
    """Return what a view declares; by default that its table's rows may be viewed."""
    return tuple(getattr(view, "allowed_permissions", None) or VIEW_DEFAULT)


def _without(fields: Iterable[Any], hidden: set[str]) -> list[Any]:
    left = [
        tuple(name for name in field if name not in hidden) if isinstance(field, list | tuple) else field
        for field in fields
    ]
    return [field for field in left if field and (isinstance(field, tuple) or field not in hidden)]
