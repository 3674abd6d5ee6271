"""Turn changes of objects into events, in the transaction that changes them.

What is not seen here is found by the comparison of the whole source: `bulk_create`, `update()`, raw SQL, fixtures.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db import models, transaction
from django.db.models import Q
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.utils import timezone

from common.errors import FabraError
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_events
from retrieval.dispatch import enqueue_model_sync
from retrieval.document_events import DELETED, EVENT_TYPE, MODEL_SOURCE, OBJECT
from retrieval.model_sources.declaration import ModelSourceSpec, Watch, model_sources, on_declared, related_classes
from retrieval.model_sources.reading import Reading, find
from retrieval.models import ModelSource

logger = logging.getLogger(__name__)

AT_ONCE = 100
"""A change that concerns more objects than these asks for a comparison of their whole source instead."""
_BEFORE, _UNLINKED = "_fabra_objects_before", "_fabra_objects_unlinked"
"""Attributes of an instance that is being changed: the objects that depended on it before, by source."""

_Objects = dict[str, set[str]]
"""The keys of objects by the name of their source."""


def connect() -> None:
    """Follow the changes of every source from its declaration on."""
    on_declared(_follow)


def _follow(source: ModelSourceSpec) -> None:
    """Connect the signals of the source's models: a receiver of all models would cost Django its fast deletes."""
    for model in related_classes(source.model):
        post_save.connect(_saved, sender=model, dispatch_uid="fabra_saved")
        post_delete.connect(_deleted, sender=model, dispatch_uid="fabra_deleted")
        for through in _through_models(model):
            m2m_changed.connect(_linked, sender=through, dispatch_uid="fabra_linked")
    for watch in source.watches:
        for model in related_classes(watch.model):
            pre_save.connect(_watched_before, sender=model, dispatch_uid="fabra_before_save")
            post_save.connect(_watched_after, sender=model, dispatch_uid="fabra_after_save")
            pre_delete.connect(_watched_before, sender=model, dispatch_uid="fabra_before_delete")
            post_delete.connect(_watched_after, sender=model, dispatch_uid="fabra_after_delete")


def _through_models(model: type[models.Model]) -> Iterator[Any]:
    """Yield the tables of the model's relations to many others, declared here or there."""
    for field in model._meta.many_to_many:
        yield field.remote_field.through
    for relation in model._meta.related_objects:
        if relation.many_to_many:
            yield relation.through  # type: ignore[attr-defined]


def _sources_of(model: type[models.Model]) -> list[ModelSourceSpec]:
    return [source for source in model_sources.values() if model in related_classes(source.model)]


def _watches_of(model: type[models.Model]) -> list[tuple[ModelSourceSpec, Watch]]:
    return [
        (source, watch)
        for source in model_sources.values()
        for watch in source.watches
        if model in related_classes(watch.model)
    ]


def _saved(sender: type[models.Model], instance: models.Model, created: bool, raw: bool = False, **_: Any) -> None:
    if not raw:
        for source in _sources_of(sender):
            publish(source, [instance.pk], is_new=created)


def _deleted(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    for source in _sources_of(sender):
        _record([_event(source, str(instance.pk), None)])


def _linked(
    instance: models.Model, action: str, model: type[models.Model], pk_set: set[Any] | None, **kwargs: Any
) -> None:
    """Publish the objects whose relation to many others was changed, from either side."""
    if action == "pre_clear":
        _keep_linked(instance, model, kwargs["sender"])
    if not action.startswith("post_"):
        return
    sides: list[tuple[type[models.Model], set[Any]]] = [(type(instance), {instance.pk}), (model, pk_set or set())]
    unlinked: _Objects = instance.__dict__.pop(_UNLINKED, {}) if action == "post_clear" else {}
    for source in model_sources.values():
        classes = related_classes(source.model)
        pks = {str(pk) for side, found in sides if side in classes for pk in found} | unlinked.get(source.name, set())
        if pks:
            publish(source, pks)


def _keep_linked(instance: models.Model, model: type[models.Model], through: type[models.Model]) -> None:
    """Note the objects that a `clear()` from the other side is about to unlink."""
    before: _Objects = {}
    for source in model_sources.values():
        if model in related_classes(source.model):
            lookups = [
                relation.name
                for relation in source.model._meta.get_fields()
                if relation.many_to_many
                and (getattr(relation, "through", None) or getattr(relation.remote_field, "through", None)) is through
            ]
            before[source.name] = _dependents(source, tuple(lookups), instance)
    setattr(instance, _UNLINKED, before)


def _watched_before(sender: type[models.Model], instance: models.Model, raw: bool = False, **kwargs: Any) -> None:
    """Note which objects depend on the instance, before it may lead to others or is gone."""
    if raw or instance.pk is None:
        return
    before: _Objects = defaultdict(set)
    for source, watch in _watches_of(sender):
        if not (watch.is_forward and kwargs["signal"] is pre_save):
            before[source.name] |= _dependents(source, watch.lookups, instance)
    setattr(instance, _BEFORE, before)


def _watched_after(sender: type[models.Model], instance: models.Model, raw: bool = False, **_: Any) -> None:
    if raw:
        return
    before: _Objects = instance.__dict__.pop(_BEFORE, {})
    for source, watch in _watches_of(sender):
        if not watch.lookups:
            request_sync(source)
            continue
        objects = before.get(source.name, set()) | _dependents(source, watch.lookups, instance)
        if objects:
            publish(source, objects)


def _dependents(source: ModelSourceSpec, lookups: Sequence[str], instance: models.Model) -> set[str]:
    """Return the keys of the objects that depend on the instance, but no more than show that they are many."""
    if not lookups or instance.pk is None:
        return set()
    condition = Q()
    for lookup in lookups:
        condition |= Q(**{lookup: instance.pk})
    found = source.model._default_manager.filter(condition).order_by("pk").values_list("pk", flat=True).distinct()
    return {str(pk) for pk in found[: AT_ONCE + 1]}


def publish(source: ModelSourceSpec, pks: Collection[Any], *, is_new: bool = False) -> None:
    """Record events about changed objects, in the caller's transaction; it never fails because of a source.

    `doc_updated` has what the source says of the object now, and `doc_deleted` is for one that is no document (any
    more). What is indexed is read anew when the event is processed. An object that `is_new` and no document is not
    told of.
    """
    if len(pks) > AT_ONCE:
        request_sync(source)
        return
    keys = sorted(str(pk) for pk in pks)
    try:
        with transaction.atomic():
            readings = find(source, keys)
    except Exception as error:  # a queryset may raise anything, and the caller's save is not to fail by it
        logger.warning("The model source %s could not be read: %r", source.name, error)
        unread = [Reading(source=source, pk=key, error=repr(error)) for key in keys]
        readings = {reading.pk: reading for reading in unread}
    events = []
    for key in keys:
        reading = readings.get(key)
        if is_new and (reading is None or not (reading.is_document or reading.error)):
            continue
        events.append(_event(source, key, reading))
    _record(events)


def request_sync(source: ModelSourceSpec) -> None:
    """Have the whole source compared soon after the caller's transaction; the beat begins it if the broker is down."""
    ModelSource.objects.filter(name=source.name).update(requested_at=timezone.now())
    transaction.on_commit(lambda: enqueue_model_sync(source.name))


def _event(source: ModelSourceSpec, key: str, reading: Reading | None) -> AxiomEvent:
    payload: dict[str, Any] = {"index": source.index, MODEL_SOURCE: source.name, OBJECT: key}
    is_gone = reading is None or not (reading.is_document or reading.error)
    try:
        content = reading.content() if reading is not None and reading.is_document else None
    except FabraError:
        content = None  # the event's handler finds it too, and tells
    if content is not None:
        payload |= {
            "content": content.text, "title": content.title, "metadata": content.metadata, "audience": content.audience,
        }  # fmt: skip
    return AxiomEvent(event_type=DELETED if is_gone else EVENT_TYPE, entity_id=source.entity_id(key), payload=payload)


def _record(events: Sequence[AxiomEvent]) -> None:
    for result in record_events(events, Event.Source.SIGNAL) if events else ():
        if isinstance(result, FabraError):
            logger.warning("An object's change was not recorded: %s", result)
