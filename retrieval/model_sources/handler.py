"""Handle events about objects: read the object anew, and index or withdraw its document.

The event says that something changed, not what the document is to be: of two transactions the one that was begun first
may end last, and neither saw what the other wrote. Read after both, the document is right whatever their order.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from common.errors import FabraError, InvalidInput
from common.locks import is_held
from common.text import storable
from common.validation import KEY_MAX_CHARS
from events.handlers import Handler
from events.models import Event
from retrieval.document_events import MODEL_SOURCE, OBJECT, is_about_object
from retrieval.errors import ObjectUnreadable
from retrieval.event_handlers import report_of
from retrieval.indexing.document_input import DocumentOrigin
from retrieval.indexing.documents import DeletionReport, delete_documents, index_content, mark_failed
from retrieval.model_sources.declaration import ModelSourceSpec, model_sources
from retrieval.model_sources.reading import Reading, database_now, find
from retrieval.models import Document, Index, ModelSource, SourcedObject
from retrieval.search.filters import is_open_beyond

logger = logging.getLogger(__name__)


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
    row = ModelSource.objects.enabled().filter(name=event.payload[MODEL_SOURCE]).first()
    if source is None or row is None:
        return {"left": "the source is not declared, or switched off"}
    moment = database_now()
    reading = find(source, [event.payload[OBJECT]]).get(event.payload[OBJECT])
    if reading is None:
        return _report(withdraw(source, row, [event.payload[OBJECT]], moment))
    content = None
    try:
        content = reading.content()
        if content is None:
            return _report(withdraw(source, row, [reading.pk], moment))
        origin = DocumentOrigin(source=f"event {event.event_id}", author=event.sender, occurred_at=moment)
        result = index_content(source.index, content, origin)
    except Exception as error:  # a splitter may raise anything; the document and the object store the reason
        reason = str(error) if isinstance(error, FabraError) else f"Indexing failed with {type(error).__name__}."
        is_readable = not isinstance(error, InvalidInput | ObjectUnreadable)
        withdraw_open(source, row, [reading], moment)
        mark_failed(source.index, event, reason, content=content if is_readable else None)
        note(row, [(reading, "", reason)])
        raise
    if not result.is_superseded:
        note(row, [(reading, content.digest, "")])
    return report_of(source.index, reading.entity_id, result)


def withdraw(source: ModelSourceSpec, row: ModelSource, pks: Sequence[str], moment: datetime) -> DeletionReport:
    """Delete the documents of objects that are none at this moment, in one transaction, unless in a later state."""
    keys = {source.entity_id(pk): pk for pk in pks}
    ids = [entity_id for entity_id in keys if len(entity_id) <= KEY_MAX_CHARS]  # others have no documents
    with transaction.atomic():
        if is_held(sync_lock(source.name)):
            _leave_tombstones(source, ids, moment)
        deletion = delete_documents(source.index, ids, occurred_at=moment)
        gone = [pk for entity_id, pk in keys.items() if entity_id not in deletion.later]
        SourcedObject.objects.filter(source=row, object_pk__in=gone).delete()
    return deletion


def withdraw_open(source: ModelSourceSpec, row: ModelSource, failed: Sequence[Reading], moment: datetime) -> int:
    """Withdraw the documents of objects that could not be indexed, where more may find them than may read the object.

    Their texts would stay as they were, open to whom the object has been closed since; so would those of objects of
    which it is not known who may read them. Return how many are withdrawn.
    """
    readings = {reading.entity_id: reading for reading in failed}
    served = Document.objects.live().filter(index__name=source.index, entity_id__in=readings).exclude(version=None)
    open_to = served.values_list("entity_id", "version__audience")
    wrong = [readings[entity_id] for entity_id, names in open_to if is_open_beyond(names, readings[entity_id].audience)]
    if not wrong:
        return 0
    deletion = withdraw(source, row, [reading.pk for reading in wrong], moment)
    for entity_id in sorted(deletion.deleted):
        logger.warning(
            "%s: %s is withdrawn: it could not be indexed for those who may read it.", source.name, entity_id
        )
    return len(deletion.deleted)


def _report(deletion: DeletionReport) -> dict[str, Any]:
    return {"deleted": len(deletion.deleted)} | ({"superseded": True} if deletion.later else {})


def _leave_tombstones(source: ModelSourceSpec, ids: Sequence[str], moment: datetime) -> None:
    """Leave deleted documents, for a running comparison that read the objects before and writes them after this."""
    index = Index.objects.filter(name=source.index).first()
    if index is not None:
        state = {"state": Document.State.DELETED, "deleted_at": moment, "occurred_at": moment}
        Document.objects.bulk_create(
            [Document(index=index, entity_id=entity_id, **state) for entity_id in sorted(ids)], ignore_conflicts=True
        )
        Document.objects.filter(
            index=index, entity_id__in=ids, deleted_at__isnull=False, occurred_at__lt=moment
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
