"""Follow the changes of rows, and tell those who depend on them, in the transaction that changes them.

What sends no signal is not seen: `bulk_create`, `update()`, raw SQL, fixtures.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import DEFAULT_DB_ALIAS, models, transaction
from django.db.models import Q
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from common.definitions import add_once
from common.errors import DefinitionError

logger = logging.getLogger(__name__)

AT_ONCE = 100
"""A change that concerns more rows than these is one of all rows: what depends on them is looked at as a whole."""
_BEFORE, _UNLINKED = "_fabra_followed_before", "_fabra_followed_unlinked"
"""Attributes of an instance that is being changed: the names of what depended on it before, by follower."""

_Names = dict[str, set[str] | None]
"""The names of rows by the name of their follower; None where they could not be found out, so that any may be one."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A model that the rows of another one depend on, and how its rows lead to those."""

    model: type[models.Model]
    lookups: tuple[str, ...]
    """Lookups of the dependent rows' model, such as `category`; empty: a change may concern any of them."""
    is_forward: bool = False
    """Whether only the dependent rows' own columns lead to a row, so that saving it does not change which they are."""


@dataclass(frozen=True, kw_only=True)
class Follower:
    """What depends on the rows of a queryset, and on the models that these depend on."""

    name: str
    rows: Callable[[], "models.QuerySet[Any]"]
    watches: tuple[Watch, ...]
    changed: Callable[[Collection[str]], object]
    """Called with the names of the rows that a change concerns."""
    changed_all: Callable[[], object]
    """Called where a change may concern any row."""
    column: str = "pk"
    """The column of the rows, or the path to one, whose values are their names."""

    @property
    def model(self) -> type[models.Model]:
        return self.rows().model


Followers = Callable[[], Iterable[Follower]]
_sources: list[Followers] = []


def register_followers(source: Followers) -> None:
    """Register a function that returns followers."""
    add_once(_sources, source)


def watch_of(model: type[models.Model], declared: Any, owner: str) -> Watch:
    """Return a watch from its declaration: a model, or `(model, lookup)`; raise DefinitionError."""
    watched, lookup = declared if isinstance(declared, tuple | list) and len(declared) == 2 else (declared, None)
    if not (isinstance(watched, type) and issubclass(watched, models.Model)):
        raise DefinitionError(f"{owner}: watches lists models, or (model, lookup), not {declared!r}.")
    if lookup is not None:
        try:
            model._default_manager.filter(**{f"{lookup}__in": []})
        except FieldError as error:
            raise DefinitionError(
                f"{owner}: watches: {lookup!r} does not lead from {model.__name__}: {error}"
            ) from None
        target = _target(model, lookup)
        if target is not None and not _share_rows(target, watched):
            raise DefinitionError(
                f"{owner}: watches: {lookup!r} leads from {model.__name__} to {target.__name__}, "
                f"not to {watched.__name__}."
            )
        return Watch(model=watched, lookups=(lookup,))
    found = [
        field
        for field in model._meta.get_fields()
        if field.is_relation and isinstance(field.related_model, type) and _share_rows(field.related_model, watched)
    ]
    is_forward = bool(found) and not any(field.auto_created or field.one_to_many for field in found)
    return Watch(model=watched, lookups=tuple(field.name for field in found), is_forward=is_forward)


def _target(model: type[models.Model], lookup: str) -> type[models.Model] | None:
    """Return the model that a lookup ends at; None if its last step is no relation, or a generic one."""
    target: Any = model
    for step in lookup.split("__"):
        try:
            target = target._meta.get_field(step).related_model
        except FieldDoesNotExist:
            return None
        if target is None:
            return None
    return target


@cache
def related_classes(model: type[models.Model]) -> frozenset[type[models.Model]]:
    """Return the classes whose rows are rows of the model: itself, its proxies, its parents and its children."""
    concrete = model._meta.concrete_model or model
    return frozenset(
        candidate for candidate in apps.get_models(include_auto_created=True) if _share_rows(candidate, concrete)
    )


def _share_rows(one: type[models.Model], other: type[models.Model]) -> bool:
    concrete = one._meta.concrete_model or one
    return issubclass(concrete, other) or issubclass(other, concrete)


def follow(follower: Follower) -> None:
    """Connect the signals of a follower's models: a receiver of all models would cost Django its fast deletes."""
    for watch in follower.watches:
        for model in related_classes(watch.model):
            pre_save.connect(_before, sender=model, dispatch_uid="fabra_before_save")
            post_save.connect(_after, sender=model, dispatch_uid="fabra_after_save")
            pre_delete.connect(_before, sender=model, dispatch_uid="fabra_before_delete")
            post_delete.connect(_after, sender=model, dispatch_uid="fabra_after_delete")
    for model in {related for followed in _models_of(follower) for related in related_classes(followed)}:
        for through in _through_models(model):
            m2m_changed.connect(_linked, sender=through, dispatch_uid="fabra_linked")
            if not through._meta.auto_created:  # its rows are saved by themselves too, without that signal
                pre_save.connect(_link_changing, sender=through, dispatch_uid="fabra_link_saves")
                pre_delete.connect(_link_changing, sender=through, dispatch_uid="fabra_link_deletes")
                post_save.connect(_link_changed, sender=through, dispatch_uid="fabra_link_saved")
                post_delete.connect(_link_changed, sender=through, dispatch_uid="fabra_link_deleted")


def _models_of(follower: Follower) -> set[type[models.Model]]:
    return {follower.model, *(watch.model for watch in follower.watches)}


def _through_models(model: type[models.Model]) -> Iterator[Any]:
    """Yield the tables of the model's relations to many others, declared here or there."""
    for field in model._meta.many_to_many:
        yield field.remote_field.through
    for relation in model._meta.related_objects:
        if relation.many_to_many:
            yield relation.through  # type: ignore[attr-defined]


def _followers() -> Iterator[Follower]:
    for source in _sources:
        yield from source()


def _watches_of(model: type[models.Model]) -> list[tuple[Follower, Watch]]:
    return [
        (follower, watch)
        for follower in _followers()
        for watch in follower.watches
        if model in related_classes(watch.model)
    ]


def _before(sender: type[models.Model], instance: models.Model, raw: bool = False, **kwargs: Any) -> None:
    """Note what depends on the instance, before it may lead to others or is gone."""
    if raw or instance.pk is None:
        return
    before: _Names = {}
    for follower, watch in _watches_of(sender):
        if not (watch.is_forward and kwargs["signal"] is pre_save):
            _add(before, follower, _dependents(follower, watch.lookups, [instance.pk]))
    setattr(instance, _BEFORE, before)


def _after(sender: type[models.Model], instance: models.Model, using: str, raw: bool = False, **_: Any) -> None:
    if raw:
        return
    names: _Names = instance.__dict__.pop(_BEFORE, {})
    concerned = _watches_of(sender)
    for follower, watch in concerned:
        _add(names, follower, _dependents(follower, watch.lookups, [instance.pk]) if watch.lookups else None)
    _notify({follower.name: follower for follower, _watch in concerned}, names, using)


def _linked(
    sender: Any,
    instance: models.Model,
    action: str,
    model: type[models.Model],
    pk_set: set[Any] | None,
    using: str,
    **_: Any,
) -> None:
    """Report the rows whose relation to many others was changed, from either side."""
    if action == "pre_clear":
        _keep_linked(instance, model, sender)
    if action.startswith("post_"):
        unlinked: _Names = instance.__dict__.pop(_UNLINKED, {}) if action == "post_clear" else {}
        _report_sides([(type(instance), {instance.pk}), (model, pk_set or set())], unlinked, using)


def _link_changing(sender: Any, instance: models.Model, using: str, raw: bool = False, **_: Any) -> None:
    """Note what depends on the ends that a relation leads to, before it is moved to others or is gone."""
    if raw or instance.pk is None or instance._state.adding:
        return
    before: _Names = {}
    for link in sender._base_manager.using(using).filter(pk=instance.pk):
        _add_sides(before, _ends(link))
    setattr(instance, _UNLINKED, before)


def _link_changed(sender: Any, instance: models.Model, using: str, raw: bool = False, **_: Any) -> None:
    """Report the rows at both ends of a relation whose table is a model of its own."""
    if not raw:
        _report_sides(_ends(instance), instance.__dict__.pop(_UNLINKED, {}), using)


def _ends(link: models.Model) -> list[tuple[type[models.Model], set[Any]]]:
    return [
        (field.related_model, {getattr(link, field.attname)})
        for field in link._meta.fields
        if field.many_to_one and isinstance(field.related_model, type)
    ]


def _add_sides(names: _Names, sides: Sequence[tuple[type[models.Model], set[Any]]]) -> None:
    for follower in _followers():
        for lookups, pks in _lookups_from(follower, sides):
            _add(names, follower, _dependents(follower, lookups, pks))


def _report_sides(sides: Sequence[tuple[type[models.Model], set[Any]]], names: _Names, using: str) -> None:
    _add_sides(names, sides)
    _notify({follower.name: follower for follower in _followers()}, names, using)


def _add(names: _Names, follower: Follower, found: set[str] | None) -> None:
    known = names.setdefault(follower.name, set())
    names[follower.name] = None if found is None or known is None else known | found


def _notify(followers: dict[str, Follower], names: _Names, using: str) -> None:
    for name, follower in followers.items():
        found = names.get(name, set())
        if found is None:
            when_written(using, follower.changed_all)
        elif found:
            when_written(using, partial(follower.changed, found))


def when_written(using: str, tell: Callable[[], object]) -> None:
    """Call `tell` in the transaction of a change, or after it where that is of another database than the events.

    Such a change is read anew by whoever hears of it, so they must not hear before it is committed.
    """
    if using == DEFAULT_DB_ALIAS:
        tell()
    else:
        transaction.on_commit(tell, using=using, robust=True)


def _lookups_from(
    follower: Follower, sides: Sequence[tuple[type[models.Model], Any]]
) -> list[tuple[Sequence[str], Any]]:
    """Return how the sides of a relation lead to the follower's rows: as these themselves, else as what they watch."""
    classes = related_classes(follower.model)
    if own := [(("pk",), found) for side, found in sides if side in classes]:
        return list(own)
    return [
        (watch.lookups, found)
        for side, found in sides
        for watch in follower.watches
        if side in related_classes(watch.model)
    ]


def _keep_linked(instance: models.Model, model: type[models.Model], through: type[models.Model]) -> None:
    """Note what a `clear()` from the other side is about to unlink."""
    before: _Names = {}
    for follower in _followers():
        found = _lookups_from(follower, [(model, model)])
        lookups = [
            relation if lookup == "pk" else f"{lookup}__{relation}"
            for path, side in found
            for lookup in path
            for relation in _relations(side, through)
        ]
        before[follower.name] = _dependents(follower, lookups, [instance.pk])
    setattr(instance, _UNLINKED, before)


def _relations(model: type[models.Model], through: type[models.Model]) -> list[str]:
    return [
        relation.name
        for relation in model._meta.get_fields()
        if relation.many_to_many
        and (getattr(relation, "through", None) or getattr(relation.remote_field, "through", None)) is through
    ]


def _dependents(follower: Follower, lookups: Sequence[str], pks: Collection[Any]) -> set[str] | None:
    """Return the names of the rows that depend on these, but no more than show that they are many.

    Return None if they cannot be found out: a manager or a type of key may raise anything, and the caller's save is not
    to fail by it.
    """
    known = [pk for pk in pks if pk is not None]
    if not lookups or not known:
        return set()
    if follower.column == "pk" and list(lookups) == ["pk"]:
        return {str(pk) for pk in known}
    condition = Q()
    for lookup in lookups:
        condition |= Q(**{f"{lookup}__in": known})
    try:
        rows = follower.rows().filter(condition).exclude(**{follower.column: None}).order_by(follower.column)
        with transaction.atomic(using=rows.db):
            names = list(rows.values_list(follower.column, flat=True).distinct()[: AT_ONCE + 1])
    except Exception as error:
        logger.warning("What depends on a changed row is not known to %s, so all is compared: %r", follower.name, error)
        return None
    return {str(name) for name in names}
