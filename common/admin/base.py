"""Base classes of the admin's pages: lists that stay fast on big tables, and read-only pages."""

import functools
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from django import forms
from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connection, models
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from common.admin.html import one_line
from common.admin.permissions import GuardedAdmin
from common.models import Definition
from common.sql.estimates import approximate_count


class EstimatedPaginator(Paginator):  # type: ignore[type-arg]
    """Count few rows, and estimate many; read a page's keys first, then its rows.

    So the rows before a page are passed over in the index alone. PostgreSQL computes all columns of rows that OFFSET
    skips, subqueries among them: the last page of 500,000 conversations took 16.6 s.
    """

    def page(self, number: int | str) -> Any:
        page = super().page(number)
        keys = list(page.object_list.values_list("pk", flat=True))  # type: ignore[attr-defined]
        page.object_list = self.object_list.filter(pk__in=keys)  # type: ignore[attr-defined]
        return page

    @cached_property
    def count(self) -> int:
        return approximate_count(self.object_list)  # type: ignore[arg-type]


class ListAdmin(GuardedAdmin, ModelAdmin):
    """List rows without counting the whole table, reading big columns or running a query per row."""

    list_per_page = 50
    list_max_show_all = 200
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = EstimatedPaginator
    list_fullwidth = True
    compressed_fields = False
    list_defer: Sequence[str] = ()
    """Columns that are too big to read for a list."""

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.defer(*self.list_defer) if self.list_defer and is_list(request) else rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row of a page, read once: what stands around the form asks for it as the form does."""
        if request.method != "GET":
            return super().get_object(request, object_id, from_field)
        key = f"_row_{self.opts.label}_{from_field}_{object_id}"
        if not hasattr(request, key):
            setattr(request, key, super().get_object(request, object_id, from_field))
        return getattr(request, key)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if any("\x00" in value for values in request.GET.lists() for value in values[1]):
            # PostgreSQL refuses NUL, and no search needs it.
            query = request.GET.copy()
            for name, values in request.GET.lists():
                query.setlist(name, [value.replace("\x00", "") for value in values])
            request.GET = query  # type: ignore[assignment]
        return super().changelist_view(request, extra_context)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        form = context["adminform"]
        form.model_admin = DisplayedOnce(form.model_admin, form.readonly_fields)
        return super().render_change_form(request, context, *args, **kwargs)


class DisplayedOnce:
    """A page's admin whose methods for read-only fields run once: a field's template asks for its value five times."""

    def __init__(self, model_admin: Any, names: Sequence[Any]) -> None:
        self._model_admin, self._names = model_admin, names

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._model_admin, name)
        if name not in self._names or not callable(value):
            return value
        shown: list[Any] = []

        @functools.wraps(value)
        def once(row: Any) -> Any:
            if not shown:  # a page is of one row, which may have no key yet
                shown.append(value(row))
            return shown[0]

        setattr(self, name, once)
        return once


class ReadOnly:
    """Show rows that only the program writes: no adding, changing or deleting."""

    has_only_program_rows = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, ListAdmin):
    pass


class ReadOnlyInline(ReadOnly, TabularInline):
    extra = 0
    can_delete = False
    show_change_link = False
    hide_title = True


class DefinitionAdmin(ListAdmin):
    """Show rows that mirror the code; only `operator_fields` can be changed."""

    operator_fields: Sequence[str] = ("is_enabled",)
    list_filter: Sequence[Any] = ("is_enabled", ("gone_at", admin.EmptyFieldListFilter))
    search_fields: Sequence[str] = ("name", "description")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = [field.name for field in self.opts.fields if field.name not in self.operator_fields]
        return [*fields, *self.readonly_fields]


class NamesFilter(admin.SimpleListFilter):
    """Filter by an indexed column with few distinct values; `distinct_values` reads them from the index."""

    column = ""

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [(name, name) for name in distinct_values(model_admin.model, self.column)]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class JsonTextField(forms.CharField):
    """Edit a JSON object in a textarea; text that cannot be parsed is shown again as typed, with the reason."""

    default_error_messages = {"required": "Write {} for none."}
    MAX_DEPTH = 100

    def __init__(self, *, rows: int = 6, **kwargs: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": rows, "class": "fb-mono", "spellcheck": "false"})
        super().__init__(widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value or {}, ensure_ascii=False, indent=2)

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        if not text.strip():
            return {}
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise forms.ValidationError(f"This is no JSON: {error.msg} in line {error.lineno}.") from None
        except RecursionError:
            raise forms.ValidationError("This is nested too deep.") from None
        except ValueError:
            raise forms.ValidationError("This is no JSON that can be stored: a number is too long.") from None
        if not isinstance(found, dict):
            raise forms.ValidationError('This must be a JSON object, such as {"category": "Billing"}.')
        if _depth(found) > self.MAX_DEPTH:
            raise forms.ValidationError("This is nested too deep.")
        return found

    def validate(self, value: Any) -> None:
        """Accept every object: an empty one is a value."""

    def run_validators(self, value: Any) -> None:
        """Run no validators: they are for text, and the model's validation checks what the database can store."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (initial or {}))
        except forms.ValidationError:
            return True


def moment(field: str) -> Callable[[Any], str]:
    """Return a list column that shows a time in UTC, to the second."""

    @display(description=field.removesuffix("_at").replace("_", " "), ordering=field)
    def column(row: Any) -> str:
        value = getattr(row, field)
        return one_line(f"{value:%Y-%m-%d %H:%M:%S}") if value else "–"

    column.__name__ = field
    return column


def is_list(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and (match.url_name or "").endswith("_changelist")


def distinct_values(model: type[models.Model], column: str, limit: int = 50) -> list[str]:
    """Return an indexed column's distinct values with one index look-up per value (a loose index scan)."""
    name, source = connection.ops.quote_name(column), connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH RECURSIVE found(value) AS (
                (SELECT {name} FROM {source} ORDER BY {name} LIMIT 1)
                UNION ALL
                SELECT (SELECT {name} FROM {source} WHERE {name} > found.value ORDER BY {name} LIMIT 1)
                FROM found WHERE found.value IS NOT NULL
            )
            SELECT value FROM found WHERE value IS NOT NULL LIMIT %s
            """,  # noqa: S608
            [limit],
        )
        return [row[0] for row in cursor.fetchall()]


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    return depth


def state_of(row: Definition) -> str:
    if row.gone_at is not None:
        return "gone"
    return "disabled" if row.is_enabled is False else "enabled"
