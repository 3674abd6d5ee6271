"""Index, update and delete documents: embed first, then change all rows in one transaction."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from common.text import storable
from common.validation import check_key
from events.arrival import newest_event
from events.models import Event
from retrieval.embedders import embedder_of, get_embedder
from retrieval.errors import DocumentNotFound, IndexNotFound
from retrieval.indexing.document_input import (
    DocumentContent,
    DocumentOrigin,
    IndexResult,
    check_document,
    check_index_name,
)
from retrieval.indexing.ownership import refusals
from retrieval.indexing.preconditions import Precondition, times_of_writes
from retrieval.indexing.prepare import prepare
from retrieval.indexing.writer import NO_FAILURE, GenerationSwitched, change_documents
from retrieval.models import Chunk, Document, Generation, Index

logger = logging.getLogger(__name__)

_RETRY = timedelta(minutes=2)
"""Longer than the first attempts of an event take together."""
RETRY_MAX = timedelta(hours=1)


def index_document(
    index_name: str,
    entity_id: str,
    text: str,
    metadata: dict[str, Any] | None = None,
    *,
    title: str = "",
    audience: Sequence[str] = (),
    source: str = "code",
    author: str = "",
    occurred_at: datetime | None = None,
    set_at: Mapping[str, datetime] | None = None,
    force: bool = False,
    precondition: Precondition | None = None,
    on_written: Callable[[IndexResult], None] | None = None,
) -> IndexResult:
    """Index `text` as the document's text; every search that begins after this returns finds it.

    The index is created if there is none. Only searches for one of `audience` find the document; empty means everyone.
    `source` is how the text arrived, `author` who wrote it. `occurred_at` orders states: one older than the document's
    is not applied. `set_at` tells when its audience or metadata were set, if it leaves them as they were.
    `force` splits and embeds also an unchanged document again. Raise InvalidInput, DocumentTooLarge, TextRefused,
    EmbedderUnavailable, or DocumentChanged unless it fulfils the `precondition`; then nothing has changed.
    `on_written` is called in the transaction of the change, if there is one; what it raises undoes the change.
    """
    content = check_document(index_name, entity_id, text, metadata, title, audience)
    origin = DocumentOrigin(
        source=source, author=author, occurred_at=occurred_at, set_at=set_at or {}, precondition=precondition
    )  # fmt: skip
    return index_content(index_name, content, origin, force=force, on_written=on_written)


def index_content(
    index_name: str,
    content: DocumentContent,
    origin: DocumentOrigin,
    *,
    force: bool = False,
    on_written: Callable[[IndexResult], None] | None = None,
) -> IndexResult:
    """Index a checked document; see `index_document`. Raise DocumentOwned if its file may not write it."""
    while True:
        index, generation = ensure_index(index_name)
        if origin.claim and (refused := refusals(index, [(content.entity_id, origin.claim.file)])):
            raise refused[0]
        served = (
            Document.objects.live()
            .filter(index=index, entity_id=content.entity_id)
            .select_related("index", "version")
            .first()
        )
        if origin.precondition is not None:  # early, because an embedding may take seconds
            origin.precondition.check(index.name, content.entity_id, served)
        if not force and served and (result := unchanged(served, content, origin)):
            return result
        embedder = embedder_of(generation)
        batch = prepare(generation, [(content, origin)], embedder, known=[served] if served and not force else [])
        batch.embed(embedder)
        if refusal := batch.refusal_of(batch.documents[0]):
            raise refusal
        try:
            with change_documents(index, generation) as change:
                result = change.write(batch.documents)[0]
                if on_written is not None:
                    on_written(result)
            return result
        except GenerationSwitched:
            continue  # it was embedded for a generation that no longer serves


def ensure_index(name: str) -> tuple[Index, Generation]:
    """Return the index and its serving generation; create them, for the embedder of the settings, if missing."""
    index = Index.objects.named(name)
    if index and index.generation:
        return index, index.generation
    embedder = get_embedder()
    with transaction.atomic():
        Index.objects.get_or_create(name=name)
        index = Index.objects.select_for_update().get(name=name)
        if index.generation is None:
            index.generation = Generation.objects.create(
                index=index,
                embedder=settings.FABRA_EMBEDDER,
                embedding_model=embedder.model,
                dimension=embedder.dimension,
            )
            index.save(update_fields=["generation"])
    return index, index.generation


def delete_document(
    index_name: str, entity_id: str, *, occurred_at: datetime | None = None, precondition: Precondition | None = None
) -> bool:
    """Remove a document from every search; its versions are kept, since old traces refer to them.

    Return False for a document in a later state than `occurred_at`, which is not changed. Raise IndexNotFound,
    DocumentNotFound, or DocumentChanged unless it fulfils the `precondition`.
    """
    with transaction.atomic():
        index = Index.objects.filter(name=check_index_name(index_name)).first()
        if index is None:
            raise IndexNotFound(f"There is no index {index_name!r}.")
        documents = _locked(index, [check_key(entity_id, "entity_id")])
        if not documents:
            raise DocumentNotFound(f"There is no document {entity_id!r} in the index {index_name!r}.")
        if precondition is not None:
            precondition.check(index.name, entity_id, documents[0])
        return bool(_remove(index, documents, occurred_at))


@dataclass(frozen=True, kw_only=True)
class DeletionReport:
    """Which documents were deleted, and which were not, since they are in a later state; by their ids."""

    deleted: Collection[str] = ()
    later: Collection[str] = ()


def delete_documents(
    index_name: str, entity_ids: Iterable[str], *, occurred_at: datetime | None = None
) -> DeletionReport:
    """Remove documents from every search in one transaction, as `delete_document` does; what is not there is passed."""
    with transaction.atomic():
        index = Index.objects.filter(name=index_name).first()
        documents = _locked(index, entity_ids) if index is not None else []
        if index is None or not documents:
            return DeletionReport()
        deleted = _remove(index, documents, occurred_at)
    return DeletionReport(deleted=deleted, later={document.entity_id for document in documents} - deleted)


def _locked(index: Index, entity_ids: Iterable[str]) -> list[Document]:
    """Return those of the documents that are served, locked in the order of their ids, as every writer does it."""
    rows = Document.objects.live().select_for_update().filter(index=index, entity_id__in=list(entity_ids))
    return list(rows.defer("title", "text", "metadata", "audience").order_by("entity_id"))


def _remove(index: Index, documents: Sequence[Document], occurred_at: datetime | None) -> set[str]:
    """Delete the locked documents, but for those in a later state than `occurred_at`; return the ids of the others."""
    for document in documents:
        document.correct_time(occurred_at)
    gone = [row for row in documents if not (occurred_at and row.occurred_at and row.occurred_at > occurred_at)]
    if not gone:
        return set()
    moment = occurred_at or max(times_of_writes(index.name, [row.entity_id for row in gone]).values())
    pks = [document.pk for document in gone]
    chunks = Chunk.objects.filter(document__in=pks)
    removed = dict(chunks.values_list("generation").annotate(count=Count("pk")))
    chunks.delete()
    now = timezone.now()
    Document.objects.filter(pk__in=pks).update(
        state=Document.State.DELETED, deleted_at=now, version=None, occurred_at=moment,
        after_event=newest_event(), updated_at=now,
    )  # fmt: skip
    # The index may have been switched to another generation while this waited.
    serving = Index.objects.select_for_update(no_key=True).values_list("generation", flat=True).get(pk=index.pk)
    Index.objects.filter(pk=index.pk).update(
        version=F("version") + 1, chunk_count=F("chunk_count") - removed.get(serving, 0)
    )
    return {document.entity_id for document in gone}


def mark_failed(index_name: str, event: Event, reason: str, *, content: DocumentContent | None) -> None:
    """Store on the document why an event's change could not be indexed; the previous version is still served.

    `content` is the document as the event changes it: the event is then replayed automatically, after a wait that
    doubles with each failure, and a document that was never indexed is stored with this content. None: the event
    itself is invalid, and the error is stored only if the document exists. A change older than the document's state,
    or than another change that failed, is ignored.
    """
    with transaction.atomic():
        index = Index.objects.filter(name=index_name).first()
        if index is not None and content is not None:
            new = Document(
                index=index, entity_id=content.entity_id, title=content.title, text=content.text,
                metadata=content.metadata, audience=content.audience, state=Document.State.FAILED,
            )  # fmt: skip
            Document.objects.bulk_create([new], ignore_conflicts=True)
        document = Document.objects.live().select_for_update().filter(index=index, entity_id=event.entity_id).first()
        if document is None:
            return
        document.correct_time()
        if document.occurred_at and document.occurred_at > event.occurred_at:
            return
        if document.has_failure_after(event.occurred_at):
            return
        wait = min(RETRY_MAX, _RETRY * 2 ** min(document.failures, 10))
        was_never_indexed = document.version_id is None and document.state == Document.State.FAILED
        document.state, document.error, document.failures = (
            Document.State.FAILED,
            storable(reason),
            document.failures + 1,
        )
        if content is not None:  # a change that is wrong in itself is not replayed; an earlier one still is
            document.failed_event, document.retry_at = event, timezone.now() + wait
        fields = ["state", "error", "failures", "failed_event", "retry_at"]
        if content is not None and was_never_indexed:  # the row shows the newest content that was not indexed
            document.title, document.text = content.title, content.text
            document.metadata, document.audience = content.metadata, content.audience
            fields += ["title", "text", "metadata", "audience"]
        Document.objects.filter(pk=document.pk).update(**{name: getattr(document, name) for name in fields})


def unchanged(served: Document, content: DocumentContent, origin: DocumentOrigin) -> IndexResult | None:
    """Return the result if the document is already served with this content; None if it is not, or no longer."""
    if served.version is None or served.version.content_hash != content.digest:
        return None
    occurred_at = origin.occurred_at or times_of_writes(served.index.name, [served.entity_id])[served.entity_id]
    changes: dict[str, Any] = {
        "title": content.title, "text": content.text, "metadata": content.metadata, "audience": content.audience,
    }  # fmt: skip
    if not served.has_failure_after(origin.occurred_at):
        changes |= NO_FAILURE
    served.correct_time(occurred_at)
    for name in ("audience", "metadata"):
        set_at = origin.set_at.get(name) or occurred_at
        changes[f"{name}_at"] = Greatest(Coalesce(f"{name}_at", "occurred_at"), set_at)
    if served.occurred_at is None or served.occurred_at < occurred_at:
        changes |= {"occurred_at": occurred_at, "after_event": newest_event()}
    as_read = {"pk": served.pk, "version": served.version_id, "failed_event": served.failed_event_id}
    if not Document.objects.filter(**as_read).update(**changes):
        return None  # another writer was faster
    return IndexResult(
        document_id=content.entity_id,
        version=served.version.number,
        is_changed=False,
        chunk_count=Chunk.objects.filter(document=served).count(),
        embedded_count=0,
    )
