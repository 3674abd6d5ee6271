"""The keys of all known entities: those that the entity's declaration lists, and those that were seen."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from common.errors import InvalidInput
from common.validation import check_identity
from features.models import KnownEntity, MaterializationRun
from features.registry import EntitySpec, entities, features


def known_keys(spec: EntitySpec) -> list[str]:
    """Return the sorted keys of all known entities; a key that is no valid one is left out."""
    seen = KnownEntity.objects.remembered(spec.name).values_list("entity_key", flat=True)
    return sorted({*seen, *_declared_keys(spec)})


def _declared_keys(spec: EntitySpec) -> Iterator[str]:
    """Yield the keys that the declaration lists, which is a queryset of one column, an iterable, or a function.

    Raise InvalidInput for rows of several columns.
    """
    listed = spec.keys() if callable(spec.keys) else spec.keys
    if hasattr(listed, "iterator"):
        listed = listed.all().iterator(chunk_size=5000)
    for listed_key in listed or ():
        value = _key_of(listed_key, spec)
        if value is None:
            continue  # a row of nobody
        try:
            yield check_identity(str(value), spec.key)
        except InvalidInput:
            continue  # no request could name it either


def _key_of(listed: Any, spec: EntitySpec) -> Any:
    row = list(listed.values()) if isinstance(listed, dict) else listed
    if not isinstance(row, tuple | list):
        return getattr(row, "pk", row)
    if len(row) != 1:
        raise InvalidInput(
            f"The `keys` of the entity {spec.name} list rows of {len(row)} columns: list the {spec.key} alone, as "
            f"values_list({spec.key!r}) does."
        )
    return row[0]


def listed_keys(entity: str, keys: Sequence[str]) -> set[str]:
    """Return those of the keys that the entity's declaration lists, or that have a row in a feature's queryset."""
    found: set[str] = set()
    if entity in entities:
        found.update(_declared_of(entities[entity], keys))
    for spec in features.values():
        if spec.entity.name == entity and spec.queryset is not None:
            found.update({*keys}.difference(spec.queryset.absent(keys)))
    return found


def _declared_of(spec: EntitySpec, keys: Sequence[str]) -> set[str]:
    """Return those of the keys that the declaration lists; a queryset of a field is asked for them alone."""
    rows = spec.keys
    is_plain = isinstance(rows, QuerySet) and not rows.query.is_sliced and not rows.query.annotation_select
    if is_plain and len(rows.query.values_select) < 2:
        name = rows.query.values_select[0] if rows.query.values_select else "pk"
        if "__" not in name:
            field = rows.model._meta.pk if name == "pk" else rows.model._meta.get_field(name)
            wanted = [value for key in keys if (value := _parsed(field, key)) is not None]
            return {str(value) for value in rows.filter(**{f"{name}__in": wanted}).values_list(name, flat=True)}
    return {*keys}.intersection(_declared_keys(spec))


def _parsed(field: Any, key: str) -> Any:
    """Return a key in the field's type; None for what no row can have."""
    try:
        value = field.to_python(key)
    except ValidationError:
        return None
    return value if str(value) == key else None


def found_none(run: MaterializationRun) -> bool:
    """Return whether a run was to compute all that is known, and nothing is."""
    return run.state == run.State.DONE and not run.total and run.entity_keys is None


def no_keys_message(name: str) -> str:
    """Return what to do where nothing is known that a feature could be computed for; "" for one that is gone."""
    feature = features.get(name)
    if feature is None:
        return ""
    spec = feature.entity
    if feature.queryset is not None:
        return f"Its source has no rows, so nothing is computed: {feature.queryset}. Or name some with --entity-ids."
    if spec.keys is not None:
        return (
            f"The `keys` of the entity {spec.name} list nobody, so nothing is computed. Or name some with --entity-ids."
        )
    return (
        f"No {spec.name} is known, so nothing is computed. One becomes known by a request or an event that names it. "
        f"Declare where the keys are, as in @entity(store, keys=Account.objects.values_list({spec.key!r})), or name "
        "some with --entity-ids."
    )
