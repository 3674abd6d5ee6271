"""Handle events: `doc_updated` indexes a document and `doc_deleted` deletes it; a saved row publishes an event."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from common.errors import FabraError, InvalidInput
from events.acceptance import register_check
from events.dead_letters import requeue
from events.event import AxiomEvent
from events.handlers import Handler, changed_row, current_handling, register_handlers
from events.models import Event
from events.ordering import register_family, state_key
from events.outbox import record_event
from events.signals import recorded
from retrieval.document_events import DELETED, EVENT_TYPE, FAMILY, check_meaning, index_name_of, is_about_object
from retrieval.errors import DocumentNotFound, IndexNotFound
from retrieval.indexing.document_input import DocumentContent, IndexResult, check_document
from retrieval.indexing.documents import delete_document, index_document, mark_failed
from retrieval.indexing.preconditions import times_of_writes
from retrieval.kept_fields import (
    FIELDS,
    TimedValue,
    apply_late_fields,
    empty_fields,
    kept_fields,
    late_fields,
    served_audience,
)
from retrieval.models import Document, DocumentVersion
from retrieval.purge_events import erase_late, purge, was_purged_after
from retrieval.search.filters import check_audience


def register() -> None:
    register_family(FAMILY, index_name_of)
    register_handlers(handlers)
    register_check(check_meaning)
    recorded.connect(erase_late)


def handlers(event: Event) -> list[Handler]:
    """Return the handlers of `doc_updated` and `doc_deleted`; none for other events, and those about an object."""
    if is_about_object(event):
        return []
    if event.event_type == EVENT_TYPE:
        # A saved row names its own index, which a feature with this trigger may not know, so it is always indexed here.
        is_default = event.source != Event.Source.SIGNAL
        late = reindex_late
        return [
            Handler(name="reindex", handle=reindex, handle_superseded=late, applies_state=True, is_default=is_default)
        ]
    if event.event_type == DELETED:
        if event.payload.get("purge") is True:  # what was said is erased, also if there is a later state
            return [Handler(name="purge", handle=purge)]
        return [Handler(name="delete", handle=delete, handle_superseded=delete_late, applies_state=True)]
    return []


def reindex(event: Event) -> dict[str, Any]:
    """Index `payload["content"]` as the document's text; the index is `payload["index"]` or the default one.

    `payload["audience"]` is who may find it; `payload["force"]` splits and embeds also an unchanged document again.
    """
    index_name = index_name_of(event.payload)
    if event.payload.get("erased") is True and was_purged_after(index_name, event):
        return {"index": index_name, "superseded": True}
    content: DocumentContent | None = None
    try:
        content, set_at = content_of(index_name, event)
        result = index_document(
            index_name,
            content.entity_id,
            content.text,
            content.metadata,
            title=content.title,
            audience=content.audience,
            source=f"event {event.event_id}",
            author=event.sender,
            occurred_at=event.occurred_at,
            set_at=set_at,
            force=event.payload.get("force") is True,
        )
    except Exception as error:  # a splitter may raise anything; the document stores the reason
        reason = str(error) if isinstance(error, FabraError) else f"Indexing failed with {type(error).__name__}."
        mark_failed(index_name, event, reason, content=None if isinstance(error, InvalidInput) else content)
        _show_failed(index_name, event)
        raise
    if result.is_superseded:
        return reindex_late(event)
    return report_of(index_name, event.entity_id, result)


def reindex_late(event: Event) -> dict[str, Any]:
    """Bring what the event says and what came after it leaves as it was; its text is superseded."""
    index_name = index_name_of(event.payload)
    applied: list[str] = []
    if event.payload.get("erased") is not True:
        content, _ = content_of(index_name, event)
        applied = _apply_late(
            index_name, event, {name: getattr(content, name) for name in FIELDS if name in event.payload}
        )
    return {"index": index_name, "superseded": True, "kept": applied}


def content_of(index_name: str, event: Event) -> tuple[DocumentContent, dict[str, datetime]]:
    """Return the document as the event changes it, and since when it has had the audience and metadata that it keeps.

    Raise InvalidInput.
    """
    payload = event.payload
    if not isinstance(payload.get("content"), str):
        raise InvalidInput('doc_updated needs the text in payload["content"].')
    kept = {} if payload.keys() >= set(FIELDS) else kept_fields(index_name, event)
    fields = {name: payload[name] if name in payload else kept[name].value for name in FIELDS}
    content = check_document(
        index_name, event.entity_id, payload["content"], title=payload.get("title") or "", **fields
    )  # fmt: skip
    return content, {name: kept[name].at for name in FIELDS if name not in payload}


def resolve_audience(index_name: str, entity_id: str, audience: Sequence[str] | None) -> TimedValue:
    """Return the audience that code gives a document, and when it was set.

    None: that of the event being handled, if it is the document's, else the served one.
    """
    handling = current_handling()
    if audience is not None:
        return TimedValue(value=check_audience(audience), at=handling.as_of if handling else timezone.now())
    if handling and handling.event.state_key == state_key(EVENT_TYPE, entity_id, {"index": index_name}):
        content, set_at = content_of(index_name, handling.event)
        return TimedValue(value=content.audience, at=set_at.get("audience", handling.as_of))
    return served_audience(index_name, entity_id)


def delete(event: Event) -> dict[str, Any]:
    """Delete the event's document, unless it is in a later state; a document that does not exist is no error."""
    index_name = index_name_of(event.payload)
    try:
        is_deleted = delete_document(index_name, event.entity_id, occurred_at=event.occurred_at)
    except (DocumentNotFound, IndexNotFound):
        return {"deleted": 0}
    return {"deleted": 1} if is_deleted else delete_late(event)


def delete_late(event: Event) -> dict[str, Any]:
    """Forget the audience and metadata of before the deletion, if what came after it leaves them as they were."""
    applied = _apply_late(index_name_of(event.payload), event, empty_fields())
    return {"deleted": 0, "superseded": True, "kept": applied}


def _apply_late(index_name: str, event: Event, values: dict[str, Any]) -> list[str]:
    fields = late_fields(event, values)
    return apply_late_fields(index_name, event.entity_id, fields, source=f"event {event.event_id}", author=event.sender)


def _show_failed(index_name: str, event: Event) -> None:
    """Have a document that was never indexed show its newest failed change with what an earlier `event` says.

    Who saves it in the admin publishes what it shows.
    """
    shown = Document.objects.live().select_related("failed_event").filter(
        index__name=index_name, entity_id=event.entity_id, version=None, state=Document.State.FAILED
    ).exclude(failed_event__in=[event.pk]).first()  # fmt: skip
    if shown is not None and shown.failed_event is not None:
        with suppress(InvalidInput):
            content, _ = content_of(index_name, shown.failed_event)
            Document.objects.filter(pk=shown.pk, failed_event=shown.failed_event).update(
                title=content.title, text=content.text, metadata=content.metadata, audience=content.audience
            )


def report_of(index_name: str, entity_id: str, result: IndexResult) -> dict[str, Any]:
    """Return what a handler did that indexed a document."""
    report = {
        "index": index_name,
        "version": result.version,
        "chunks": result.chunk_count,
        "embedded": result.embedded_count,
        "superseded": result.is_superseded,
    }
    return report | _change_report(index_name, entity_id, result)


def _change_report(index_name: str, entity_id: str, result: IndexResult) -> dict[str, Any]:
    """Report the new version; its row was created when the text had been split and embedded."""
    version = DocumentVersion.objects.filter(
        document__index__name=index_name, document__entity_id=entity_id, number=result.version
    ).first()
    if version is None or not result.is_changed:
        return {"changed": []}
    step = {"name": "indexed", "at": version.created_at.isoformat(), "note": "split and embedded"}
    changed = changed_row(DocumentVersion, version.pk, f"{entity_id} v{version.number}")
    return {"changed": [changed], "steps": [step], "effect": "searchable"}


def publish_saved(instance: Document, raw: bool = False, **kwargs: Any) -> None:
    """Publish the save of a Document as an event, in the same transaction.

    `store.index` writes its rows without signals, so it publishes nothing.
    """
    if not raw and instance.deleted_at is None:
        publish_document(instance, sender=instance.saved_by)


def publish_document(document: Document, *, sender: str = "") -> None:
    """Publish `doc_updated` with the row's content, as the newest state of the document."""
    payload = {
        "index": document.index.name,
        "content": document.text,
        "metadata": document.metadata,
        "audience": document.audience,
        "title": document.title,
    }
    with transaction.atomic():
        Document.objects.filter(pk=document.pk).update(state=Document.State.PENDING, error="")
        entity_id = document.entity_id
        moment = times_of_writes(document.index.name, [entity_id])[entity_id]
        event = AxiomEvent(event_type=EVENT_TYPE, entity_id=entity_id, payload=payload, occurred_at=moment)
        record_event(event, Event.Source.SIGNAL, sender=sender)


def publish_again(document: Document, *, sender: str = "") -> bool:
    """Have a live document split and embedded again, with the time of its present state.

    It overwrites no newer change, since its content is that of the served version. If the document's newest change
    failed, that change is replayed instead. Return False for a document that was never indexed and whose first change
    is still waiting.
    """
    if document.failed_event_id is not None:
        return replay([document]) > 0
    version = document.version
    if version is None:
        return False
    # Without its audience and metadata, which it keeps: a change that set them is not overwritten by coming late.
    payload = {"index": document.index.name, "content": version.text, "title": version.title, "force": True}
    document.correct_time()
    moment = document.occurred_at or version.created_at
    event = AxiomEvent(event_type=EVENT_TYPE, entity_id=document.entity_id, payload=payload, occurred_at=moment)
    record_event(event, Event.Source.SIGNAL, sender=sender)
    return True


def replay(documents: Iterable[Document]) -> int:
    """Process the documents' failed changes again, each with its own text, audience and time; return how many."""
    pks = [document.failed_event_id for document in documents if document.failed_event_id]
    return requeue(Event.objects.filter(pk__in=pks, state=Event.State.DEAD))
