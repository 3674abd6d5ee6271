"""Turn changes of objects into events, in the transaction that changes them.

What is not seen here is found by the comparison of the whole source: `bulk_create`, `update()`, raw SQL, fixtures.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any

from django.db import models, transaction
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from common.errors import FabraError
from common.model_changes import AT_ONCE, Follower, follow, register_followers, related_classes, when_written
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_events
from retrieval.dispatch import enqueue_model_sync
from retrieval.document_events import DELETED, EVENT_TYPE, MODEL_SOURCE, OBJECT
from retrieval.model_sources.declaration import ModelSourceSpec, model_sources, on_declared
from retrieval.model_sources.reading import Reading, find
from retrieval.models import ModelSource

logger = logging.getLogger(__name__)


def connect() -> None:
    """Follow the changes of every source from its declaration on."""
    register_followers(_followers)
    on_declared(_follow)


def _followers() -> Iterator[Follower]:
    return map(_follower, model_sources.values())


def _follow(source: ModelSourceSpec) -> None:
    for model in related_classes(source.model):
        post_save.connect(_saved, sender=model, dispatch_uid="fabra_saved")
        post_delete.connect(_deleted, sender=model, dispatch_uid="fabra_deleted")
    follow(_follower(source))


def _follower(source: ModelSourceSpec) -> Follower:
    return Follower(
        name=source.name,
        rows=source.model._base_manager.all,  # the default one may hide what queryset() has
        watches=source.watches,
        changed=partial(publish, source),
        changed_all=partial(request_sync, source),
    )


def _sources_of(model: type[models.Model]) -> list[ModelSourceSpec]:
    return [source for source in model_sources.values() if model in related_classes(source.model)]


def _saved(
    sender: type[models.Model], instance: models.Model, created: bool, using: str, raw: bool = False, **_: Any
) -> None:
    if not raw:
        for source in _sources_of(sender):
            when_written(using, partial(publish, source, [_key(source, instance)], is_new=created))


def _deleted(sender: type[models.Model], instance: models.Model, using: str, **_: Any) -> None:
    for source in _sources_of(sender):
        if issubclass(_concrete(sender), _concrete(source.model)):  # a row of a parent's may have been none of it
            when_written(using, partial(_record, [_event(source, str(_key(source, instance)), None)]))


def _key(source: ModelSourceSpec, instance: models.Model) -> Any:
    """Return the key of the source's object that the instance is: a child of several models has one of each."""
    return getattr(instance, source.model._meta.pk.attname, instance.pk)


def _concrete(model: type[models.Model]) -> type[models.Model]:
    return model._meta.concrete_model or model


def publish(source: ModelSourceSpec, pks: Collection[Any], *, is_new: bool = False) -> None:
    """Record events about changed objects, in the caller's transaction; it never fails because of a source.

    `doc_updated` has what the source says of the object now, and `doc_deleted` is for one that is no document (any
    more). What is indexed is read anew when the event is processed. An object that `is_new` and no document makes
    no event, nor does a row of a parent's table that has none in the table of the source's model.
    """
    if len(pks) > AT_ONCE:
        request_sync(source)
        return
    keys = sorted(str(pk) for pk in pks)
    try:
        with transaction.atomic():
            readings = find(source, keys)
            keys = sorted({*readings, *_rows(source, [key for key in keys if key not in readings])})
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


def _rows(source: ModelSourceSpec, keys: Sequence[str]) -> Sequence[str]:
    """Return the keys that are of rows of the source's model; only those of a parent's table may be of none."""
    if not keys or not _concrete(source.model)._meta.parents:
        return keys
    wanted = [key for text in keys if (key := source.key(text)) is not None]
    return [str(pk) for pk in source.model._base_manager.filter(pk__in=wanted).values_list("pk", flat=True)]


def request_sync(source: ModelSourceSpec) -> None:
    """Have the whole source compared soon after the caller's transaction; the beat begins it if the broker is down."""
    ModelSource.objects.filter(name=source.name).update(requested_at=timezone.now())
    transaction.on_commit(lambda: enqueue_model_sync(source.name))


def _event(source: ModelSourceSpec, key: str, reading: Reading | None) -> AxiomEvent:
    payload: dict[str, Any] = {"index": source.index, MODEL_SOURCE: source.name, OBJECT: key}
    is_gone = reading is None or not (reading.is_document or reading.error)
    try:
        content = reading.as_said() if reading is not None and reading.is_document else None
    except Exception:  # the caller's save is not to fail by a text; the event's handler finds the reason too, and tells
        content = None
    if content is not None:
        payload |= {
            "content": content.text, "title": content.title, "metadata": content.metadata, "audience": content.audience,
        }  # fmt: skip
        if source.format != "markdown":
            payload["format"] = source.format
    return AxiomEvent(event_type=DELETED if is_gone else EVENT_TYPE, entity_id=source.entity_id(key), payload=payload)


def _record(events: Sequence[AxiomEvent]) -> None:
    for result in record_events(events, Event.Source.SIGNAL) if events else ():
        if isinstance(result, FabraError):
            logger.warning("An object's change was not recorded: %s", result)
