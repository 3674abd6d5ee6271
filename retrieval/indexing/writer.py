"""Commit changes of documents atomically: readers see either the old or the new state."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from common.locks import share_in_transaction
from retrieval.dispatch import enqueue_follow, enqueue_hnsw_build
from retrieval.indexing.document_input import IndexResult
from retrieval.indexing.ownership import Claim, check_owner, own
from retrieval.indexing.prepare import PreparedDocument
from retrieval.models import Chunk, Document, DocumentVersion, Generation, Index
from retrieval.search.lexemes import lexemes_of

NO_FAILURE = {
    "state": Document.State.INDEXED, "error": "", "failures": 0, "retry_at": None, "failed_event": None,
}  # fmt: skip
"""The columns of a document without a failed change that waits for a retry."""


class GenerationSwitched(Exception):
    """The index was switched to another generation since the documents were prepared."""


def switch_lock(index_id: int) -> str:
    """Return the name of the lock that document changes share and a switch of generations holds exclusively."""
    return f"switch {index_id}"


class DocumentChange:
    """A transaction that changes documents of one index; see `change_documents`."""

    def __init__(self, index: Index, generation: Generation) -> None:
        self.index, self.generation = index, generation
        self._is_changed = False
        self._added = 0
        self._claims: list[tuple[Document, bool, Claim, str]] = []

    def write(self, document: PreparedDocument) -> IndexResult:
        """Write the document's new version and its chunks, unless the document is already in a later state.

        Raise DocumentOwned if that state is another file's, DocumentChanged unless the origin's precondition is met.
        """
        content, origin = document.content, document.origin
        new = Document(index=self.index, entity_id=content.entity_id, title=content.title, text=content.text)
        Document.objects.bulk_create([new], ignore_conflicts=True)
        row = Document.objects.select_for_update().get(index=self.index, entity_id=content.entity_id)
        if origin.precondition is not None:
            is_new = row.created_at == new.created_at
            existing = None if is_new or row.deleted_at is not None else row
            origin.precondition.check(self.index.name, content.entity_id, existing)
        last = row.versions.order_by("-number").values_list("number", flat=True).first() or 0
        if origin.occurred_at and row.occurred_at and row.occurred_at > origin.occurred_at:
            if origin.claim:
                check_owner(row, origin.claim)
            return IndexResult(
                document_id=content.entity_id, version=last, is_changed=False, chunk_count=0, embedded_count=0,
                is_superseded=True,
            )  # fmt: skip
        version = DocumentVersion.objects.create(
            document=row,
            number=last + 1,
            title=content.title,
            text=content.text,
            metadata=content.metadata,
            audience=content.audience,
            content_hash=content.digest,
            source=origin.source[:100],
            author=origin.author[:200],
        )
        self._added += replace_chunks(self.index, self.generation, row, version, document)
        self._is_changed = True
        if origin.claim:
            self._claims.append((row, row.version_id is not None, origin.claim, content.digest))
        self._serve(row, version, document)
        return IndexResult(
            document_id=content.entity_id,
            version=version.number,
            is_changed=True,
            chunk_count=len(document.passages),
            embedded_count=document.embedded_count,
        )

    def _serve(self, row: Document, version: DocumentVersion, document: PreparedDocument) -> None:
        """Copy the version's content to the document's row."""
        content, moment, now = document.content, document.origin.occurred_at, timezone.now()
        Document.objects.filter(pk=row.pk).update(
            title=content.title,
            text=content.text,
            metadata=content.metadata,
            audience=content.audience,
            version=version,
            occurred_at=moment or now,
            updated_at=now,
            indexed_at=now,
            deleted_at=None,
            **({} if row.has_failure_after(moment) else NO_FAILURE),
        )
        if self.index.generations.exclude(pk=self.generation.pk).exists():
            transaction.on_commit(lambda: enqueue_follow(row.pk))

    def finish(self) -> None:
        """Increase the index's version, as the last step, since all writers of the index wait for this row.

        Raise GenerationSwitched if another generation serves the index, or DocumentOwned if a document is another
        file's.
        """
        if not self._is_changed:
            return
        if self._claims:
            own(self._claims)
        if not Index.objects.filter(pk=self.index.pk, generation=self.generation).update(
            version=F("version") + 1, chunk_count=F("chunk_count") + self._added
        ):
            raise GenerationSwitched
        if not self.generation.has_hnsw and self.index.chunk_count + self._added >= settings.FABRA_HNSW_WORTH_IT:
            transaction.on_commit(lambda: enqueue_hnsw_build(self.generation.pk))


@contextmanager
def change_documents(index: Index, generation: Generation) -> Iterator[DocumentChange]:
    """Change documents of an index in one transaction; raise GenerationSwitched if `generation` no longer serves.

    A caller that changes several documents must write them in the order of their ids, so that no two callers deadlock.
    """
    with transaction.atomic():
        share_in_transaction(switch_lock(index.pk))
        change = DocumentChange(index, generation)
        yield change
        change.finish()


def replace_chunks(
    index: Index, generation: Generation, row: Document, version: DocumentVersion, document: PreparedDocument
) -> int:
    """Replace the document's chunks in a generation, in the caller's transaction; return by how many they increased."""
    removed, _ = Chunk.objects.filter(document=row, generation=generation).delete()
    chunks = [
        Chunk(
            generation=generation,
            document=row,
            version=version,
            position=passage.position,
            heading_path=passage.heading_path,
            text=passage.text,
            token_count=passage.token_count,
            content_hash=passage.content_hash,
            metadata=version.metadata,
            audience=version.audience,
            embedding=document.vectors[passage.content_hash],
            lexemes=lexemes_of(index.language, passage.embedded_text),
        )
        for passage in document.passages
    ]
    Chunk.objects.bulk_create(chunks, batch_size=500)
    return len(chunks) - removed
