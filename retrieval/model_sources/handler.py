"""Handle events about objects: read the object anew, and index or withdraw its document.

The event says that something changed, not what the document is to be: of two transactions the one that was begun first
may end last, and neither saw what the other wrote. Read after both, the document is right whatever their order.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.utils import timezone

from common.errors import FabraError, InvalidInput
from common.locks import is_held
from common.text import storable
from events.handlers import Handler
from events.models import Event
from retrieval.document_events import MODEL_SOURCE, OBJECT, is_about_object
from retrieval.errors import DocumentNotFound, IndexNotFound, ObjectUnreadable
from retrieval.event_handlers import report_of
from retrieval.indexing.document_input import Origin
from retrieval.indexing.documents import delete_document, index_content, mark_failed
from retrieval.model_sources.declaration import ModelSourceSpec, model_sources
from retrieval.model_sources.reading import Reading, database_now, find
from retrieval.models import Document, Index, ModelSource, SourcedObject


def handlers(event: Event) -> Sequence[Handler]:
    if not is_about_object(event):
        return []
    return [Handler(name="read anew", handle=apply, applies_state=True, reads_current=True)]


def sync_lock(source: str) -> str:
    """Return the name of the lock that the comparison of a source holds."""
    return f"model source {source}"


def apply(event: Event) -> dict[str, Any]:
    """Make the document what the object's source says now; the moment of the reading is the time of its state."""
    source = model_sources.get(event.payload[MODEL_SOURCE])
    row = ModelSource.objects.active().filter(name=event.payload[MODEL_SOURCE]).first()
    if source is None or row is None:
        return {"left": "the source is not declared, or switched off"}
    moment = database_now()
    reading = find(source, [event.payload[OBJECT]]).get(event.payload[OBJECT])
    if reading is None:
        return withdraw(source, row, event.payload[OBJECT], moment)
    content = None
    try:
        content = reading.content()
        if content is None:
            return withdraw(source, row, reading.pk, moment)
        origin = Origin(source=f"event {event.event_id}", author=event.sender, occurred_at=moment)
        result = index_content(source.index, content, origin)
    except Exception as error:  # a splitter may raise anything; the document and the object store the reason
        reason = str(error) if isinstance(error, FabraError) else f"Indexing failed with {type(error).__name__}."
        is_readable = not isinstance(error, InvalidInput | ObjectUnreadable)
        mark_failed(source.index, event, reason, content=content if is_readable else None)
        note(row, [(reading, "", reason)])
        raise
    if not result.is_superseded:
        note(row, [(reading, content.digest, "")])
    return report_of(source.index, reading.entity_id, result)


def withdraw(source: ModelSourceSpec, row: ModelSource, pk: str, moment: datetime) -> dict[str, Any]:
    """Delete the document of an object that is none at this moment, unless it is in a later state."""
    entity_id = source.entity_id(pk)
    if is_held(sync_lock(source.name)):
        _leave_tombstone(source, entity_id, moment)
    is_deleted = None
    with suppress(DocumentNotFound, IndexNotFound):
        is_deleted = delete_document(source.index, entity_id, occurred_at=moment)
    if is_deleted is not False:
        SourcedObject.objects.filter(source=row, object_pk=pk).delete()
    return {"deleted": int(bool(is_deleted))} | ({"superseded": True} if is_deleted is False else {})


def _leave_tombstone(source: ModelSourceSpec, entity_id: str, moment: datetime) -> None:
    """Leave a deleted document, for a running comparison that read the object before and writes it after this."""
    index = Index.objects.filter(name=source.index).first()
    if index is not None:
        deleted = Document(
            index=index, entity_id=entity_id, state=Document.State.DELETED, deleted_at=moment, occurred_at=moment
        )
        Document.objects.bulk_create([deleted], ignore_conflicts=True)
        Document.objects.filter(
            index=index, entity_id=entity_id, deleted_at__isnull=False, occurred_at__lt=moment
        ).update(occurred_at=moment)


def note(row: ModelSource, notes: Sequence[tuple[Reading, str, str]]) -> None:
    """Store what objects said, the content hash of the version made of it, and the error, in one statement."""
    if not notes:
        return
    now = timezone.now()
    SourcedObject.objects.bulk_create(
        [
            SourcedObject(
                source=row, object_pk=reading.pk, digest=reading.digest, content_hash=content_hash,
                error=storable(error), warnings=reading.warnings, updated_at=now,
            )
            for reading, content_hash, error in notes
        ],
        update_conflicts=True,
        unique_fields=["source", "object_pk"],
        update_fields=["digest", "content_hash", "error", "warnings", "updated_at"],
    )  # fmt: skip
