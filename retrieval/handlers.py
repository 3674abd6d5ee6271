"""What retrieval does with events: `doc_updated` re-indexes, `doc_deleted` deletes, a saved row becomes an event."""

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction

from features.errors import FabraError, InvalidInput
from features.events import STATE_FAMILIES, AxiomEvent, record_event
from features.handlers import change, register_handler
from features.models import Event
from features.text import check_key
from retrieval.content import IndexResult
from retrieval.errors import DocumentNotFound, IndexNotFound
from retrieval.indexing import delete_document, index_document, mark_failed
from retrieval.models import Document, DocumentVersion


def register() -> None:
    STATE_FAMILIES["doc_"] = index_name_of
    # A saved row names its own index, which a declared feature need not heed: it is always indexed from here.
    register_handler("doc_updated", "reindex", reindex, stands_back=lambda event: event.source != Event.Source.SIGNAL)
    register_handler("doc_deleted", "delete", delete, stands_back=lambda event: False)


async def reindex(event: Event) -> dict[str, Any]:
    """Index `payload["content"]` as the document's text; the index is `payload["index"]` or the default one.

    `payload["audience"]` says who may find it; `payload["force"]` splits and embeds anew what is unchanged.
    """
    index_name, payload = index_name_of(event.payload), event.payload
    if not isinstance(payload.get("content"), str):
        raise InvalidInput('doc_updated needs the text in payload["content"].')
    known = await sync_to_async(_known)(index_name, event)
    try:
        result = await sync_to_async(index_document)(
            index_name,
            event.entity_id,
            payload["content"],
            payload["metadata"] if "metadata" in payload else known.get("metadata"),
            title=payload.get("title") or "",
            audience=payload["audience"] if "audience" in payload else known.get("audience", ()),
            source=f"event {event.event_id}",
            author=event.sender,
            occurred_at=event.occurred_at,
            force=payload.get("force") is True,
        )
    except Exception as error:  # also what a splitter may raise: the document says why it is not searchable
        reason = str(error) if isinstance(error, FabraError) else f"Indexing failed with {type(error).__name__}."
        await sync_to_async(mark_failed)(
            index_name, event.entity_id, reason, may_pass=not isinstance(error, InvalidInput), text=payload["content"]
        )
        raise
    told = {
        "index": index_name,
        "version": result.version,
        "chunks": result.chunk_count,
        "embedded": result.embedded_count,
        "superseded": result.is_superseded,
    }
    return told | await sync_to_async(_what_changed)(index_name, event.entity_id, result)


async def delete(event: Event) -> dict[str, Any]:
    index_name = index_name_of(event.payload)
    try:
        is_deleted = await sync_to_async(delete_document)(index_name, event.entity_id, occurred_at=event.occurred_at)
    except (DocumentNotFound, IndexNotFound):
        return {"deleted": 0}
    return {"deleted": int(is_deleted)} | ({} if is_deleted else {"superseded": True})


def _what_changed(index_name: str, entity_id: str, result: IndexResult) -> dict[str, Any]:
    """Tell of the new version; its row was begun when the text was split and embedded."""
    version = DocumentVersion.objects.filter(
        document__index__name=index_name, document__entity_id=entity_id, number=result.version
    ).first()
    if version is None or not result.is_changed:
        return {"changed": []}
    text = f"{entity_id} v{version.number}"
    return {"changed": [change(DocumentVersion, version.pk, text)], "indexed_at": version.created_at.isoformat()}


def _known(index_name: str, event: Event) -> dict[str, Any]:
    """Return what the document has: an event that says nothing of its metadata or audience takes none away."""
    if "metadata" in event.payload and "audience" in event.payload:
        return {}
    document = Document.objects.live().filter(index__name=index_name, entity_id=event.entity_id).first()
    return {"metadata": document.metadata, "audience": document.audience} if document else {}


def index_name_of(payload: dict[str, Any]) -> str:
    """Return the index that an event's document is in; raise InvalidInput unless it is a name."""
    return check_key(payload.get("index") or settings.FABRA_DEFAULT_INDEX, 'payload["index"]')


def publish_saved(instance: Document, raw: bool = False, **kwargs: Any) -> None:
    """Turn the save of a Document into an event, in the same transaction.

    `store.index` writes its rows without signals, so it echoes nothing.
    """
    if not raw and instance.deleted_at is None:
        publish_document(instance, sender=instance.saved_by)


def publish_document(document: Document, *, force: bool = False, sender: str = "") -> None:
    """Publish `doc_updated` with what the row says; with `force` it is split and embedded anew."""
    payload = {
        "index": document.index.name,
        "content": document.text,
        "metadata": document.metadata,
        "audience": document.audience,
        "title": document.title,
    } | ({"force": True} if force else {})
    with transaction.atomic():
        Document.objects.filter(pk=document.pk).update(state=Document.State.PENDING, error="")
        event = AxiomEvent(event_type="doc_updated", entity_id=document.entity_id, payload=payload)
        record_event(event, Event.Source.SIGNAL, sender=sender)
