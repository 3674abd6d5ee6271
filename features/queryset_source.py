"""The queryset that a feature's values come from: one query for many keys, and pages of its keys."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models

from common.errors import DefinitionError, InvalidInput
from common.model_changes import Watch, watch_of
from common.validation import check_identity

VALUE = "value"
"""The name of the annotation that is the value; the feature's name serves where the model has such a field."""

Rows = models.QuerySet[Any]


class NoAnnotation(Exception):
    """The function returned no queryset with the annotation that is the value."""


class SeveralRows(Exception):
    """The queryset has more than one row for a key, so that none of them is the value."""


@dataclass(frozen=True, kw_only=True)
class QuerysetSource:
    """The rows that a function annotates with the feature's value, and the column that is the entity key."""

    rows: Any = field(repr=False, compare=False)
    """A manager or a queryset, which is never evaluated itself."""
    model: type[models.Model]
    key: str
    """The column, or the path to one, such as `user_id` or `user__username`."""
    key_field: Any = field(repr=False, compare=False)
    watches: tuple[Watch, ...]

    def __str__(self) -> str:
        return f"{self.model._meta.label} by {self.key}"

    def queryset(self) -> Rows:
        return self.rows.all()

    def annotated(self, function: Callable[..., Any], name: str, rows: Rows, **named: Any) -> tuple[Rows, str]:
        """Return the rows as the function annotates them, and the annotation's name; raise NoAnnotation."""
        found = function(rows, **named)
        if isinstance(found, models.QuerySet):
            for annotation in (VALUE, name):
                if annotation in found.query.annotations:
                    return found, annotation
        got = "no such annotation" if isinstance(found, models.QuerySet) else type(found).__name__
        raise NoAnnotation(
            f"The function of {name!r} must return its queryset with the value annotated, as in "
            f"rows.annotate({VALUE}=Count('tickets')); it returned {got}."
        )

    def values_of(self, function: Callable[..., Any], name: str, keys: Sequence[str], **named: Any) -> dict[str, Any]:
        """Return the annotation by key, in one query; a key without a row is absent. Raise SeveralRows."""
        wanted = {value: key for key in keys if (value := self._value_of(key)) is not None}
        if not wanted:
            return {}
        rows = self.queryset().filter(**{f"{self.key}__in": list(wanted)})
        rows, annotation = self.annotated(function, name, rows, **named)
        found: dict[str, Any] = {}
        for value, result in rows.values_list(self.key, annotation):
            key = wanted.get(value)
            if key in found:
                raise SeveralRows(
                    f"{self} has several rows for a key of {name!r}: group them, as in "
                    f"rows.values({self.key!r}).annotate({VALUE}=Count('pk')), or pick one with distinct({self.key!r})."
                )
            if key is not None:
                found[key] = result
        return found

    def output_field(self, function: Callable[..., Any], name: str, *, takes_as_of: bool) -> Any:
        """Return the field of the annotation, without a query; raise whatever the function does."""
        named = {"as_of": datetime.now(UTC)} if takes_as_of else {}
        rows, annotation = self.annotated(function, name, self.queryset().none(), **named)
        return rows.query.annotations[annotation].output_field

    def count(self) -> int:
        return self._keys().count()

    def count_until(self, key: str) -> int:
        """Return how many keys there are up to this one, in the database's order."""
        return self._keys().filter(**{f"{self.key}__lte": self._parsed(key)}).count() if key else 0

    def keys_after(self, key: str, size: int) -> list[str]:
        """Return the next `size` keys behind this one, or from the first on for ""; what is no valid key is left out.

        It is a keyset page: the database descends its index on the column, however many rows lie before.
        """
        while True:
            rows = self._keys().order_by(self.key)
            page = list((rows.filter(**{f"{self.key}__gt": self._parsed(key)}) if key else rows)[:size])
            if valid := [text for value in page if (text := _identity(value))]:
                return valid
            if len(page) < size:
                return []
            key = str(page[-1])

    def keys_before(self, key: str, size: int) -> list[str]:
        """Return the last `size` keys up to this one."""
        rows = self._keys().filter(**{f"{self.key}__lte": self._parsed(key)}).order_by(f"-{self.key}") if key else ()
        return [text for value in rows[:size] if (text := _identity(value))]

    def absent(self, keys: Sequence[str]) -> list[str]:
        """Return those of the keys that have no row."""
        wanted = [value for key in keys if (value := self._value_of(key)) is not None]
        present = {str(value) for value in self._keys().filter(**{f"{self.key}__in": wanted})}
        return [key for key in keys if key not in present]

    def _keys(self) -> Any:
        rows = self.queryset().exclude(**{self.key: None}).order_by()
        return rows.values_list(self.key, flat=True).distinct()

    def _value_of(self, key: str) -> Any:
        """Return a key in the column's type; None for what no row can have, such as `007` of an integer."""
        try:
            value = self._parsed(key)
        except (ValidationError, ValueError, TypeError):
            return None
        return value if str(value) == key else None

    def _parsed(self, key: str) -> Any:
        return self.key_field.to_python(key)


def queryset_source(rows: Any, key: str, watches: Sequence[Any], owner: str) -> QuerysetSource:
    """Return the source of a declaration; raise DefinitionError."""
    if not isinstance(rows, models.Manager | models.QuerySet):
        raise DefinitionError(
            f'source of {owner} must be a queryset or a manager, such as Customer.objects, or "token", not {rows!r}.'
        )
    queryset = rows.all()
    if queryset.query.is_sliced or queryset.query.combinator:
        raise DefinitionError(f"source of {owner} must not be sliced or combined: it is filtered by the entity keys.")
    if isinstance(watches, type | str):
        raise DefinitionError(f"{owner}: watches is a list of models, such as [Ticket].")
    return QuerysetSource(
        rows=rows,
        model=queryset.model,
        key=key,
        key_field=_field_of(queryset, key, owner),
        watches=tuple(watch_of(queryset.model, watched, owner) for watched in watches),
    )


def _field_of(queryset: Rows, path: str, owner: str) -> Any:
    """Return the field that a path leads to; raise DefinitionError."""
    if path in queryset.query.annotations:
        return queryset.query.annotations[path].output_field
    model: Any = queryset.model
    found: Any = None
    for part in path.split("__"):
        try:
            found = model._meta.pk if part == "pk" else model._meta.get_field(part)
        except (FieldDoesNotExist, AttributeError):
            found = None
        if found is None or not hasattr(found, "to_python"):
            raise DefinitionError(
                f"key of {owner} must be a column of {queryset.model.__name__} with the entity keys, or a path to one, "
                f"such as `user_id` or `user__username`, not {path!r}."
            )
        model = found.related_model
    return found


def _identity(value: Any) -> str:
    """Return an entity key as text; "" for one that no request could name."""
    try:
        return check_identity(str(value), "key")
    except InvalidInput:
        return ""
