"""Commit changes of documents atomically: readers see either the old or the new state."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Max
from django.utils import timezone

from common.locks import share_in_transaction
from retrieval.dispatch import enqueue_follow, enqueue_hnsw_build
from retrieval.indexing.document_input import IndexResult, Origin
from retrieval.indexing.ownership import Claim, check_owner, own
from retrieval.indexing.prepare import PreparedDocument
from retrieval.models import Chunk, Document, DocumentVersion, Generation, Index
from retrieval.search.lexemes import lexemes_of

NO_FAILURE = {
    "state": Document.State.INDEXED, "error": "", "failures": 0, "retry_at": None, "failed_event": None,
}  # fmt: skip
"""The columns of a document without a failed change that waits for a retry."""


# The contents are in the versions already, so they are not sent a second time.
_SERVE = """
UPDATE retrieval_document AS document SET
    title = version.title, text = version.text, metadata = version.metadata, audience = version.audience,
    version_id = version.id, occurred_at = served.moment, updated_at = %s, indexed_at = %s, deleted_at = NULL
FROM retrieval_documentversion AS version
JOIN unnest(%s::bigint[], %s::timestamptz[]) AS served (version_id, moment) ON served.version_id = version.id
WHERE document.id = version.document_id
"""


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
        """Write one document; see `write_all`."""
        return self.write_all([document])[0]

    def write_all(self, documents: Sequence[PreparedDocument]) -> list[IndexResult]:
        """Write the documents' new versions and their chunks, but of those that are already in a later state.

        Their ids differ, and a number of statements that does not depend on how many they are writes them. Raise
        DocumentOwned if a later state is another file's, DocumentChanged unless the origin's precondition is met.
        """
        rows, last = self._lock(documents)
        written: list[tuple[Document, PreparedDocument]] = []
        for document in documents:
            row = rows[document.content.entity_id]
            if self._is_superseded(row, document.origin):
                continue
            written.append((row, document))
        versions = DocumentVersion.objects.bulk_create(
            [_version_of(row, last.get(row.pk, 0) + 1, document) for row, document in written]
        )
        changes = [
            ChunkChange(row=row, version=version, document=document, is_new=version.number == 1)
            for (row, document), version in zip(written, versions, strict=True)
        ]
        if changes:
            self._added += replace_chunks(self.index, self.generation, changes)
            self._is_changed = True
            self._serve(changes)
        numbers = {change.row.pk: change.version.number for change in changes}
        return [self._result_of(document, rows[document.content.entity_id].pk, numbers, last) for document in documents]

    def _lock(self, documents: Sequence[PreparedDocument]) -> tuple[dict[str, Document], dict[int, int]]:
        """Return the documents' locked rows by id, new ones included, and the numbers of their last versions."""
        new = {
            content.entity_id: Document(
                index=self.index, entity_id=content.entity_id, title=content.title, text=content.text
            )
            for content in (document.content for document in documents)
        }
        Document.objects.bulk_create(new.values(), ignore_conflicts=True)
        found = Document.objects.select_for_update().filter(index=self.index, entity_id__in=new)
        rows = {row.entity_id: row for row in found.defer("text", "metadata").order_by("entity_id")}
        for document in documents:
            if (precondition := document.origin.precondition) is not None:
                entity_id = document.content.entity_id
                row = rows[entity_id]
                is_new = row.created_at == new[entity_id].created_at
                existing = None if is_new or row.deleted_at is not None else row
                precondition.check(self.index.name, entity_id, existing)
        versions = DocumentVersion.objects.filter(document__in=rows.values()).order_by()
        return rows, dict(versions.values_list("document").annotate(last=Max("number")))

    def _is_superseded(self, row: Document, origin: Origin) -> bool:
        """Return whether the row is in a later state; raise DocumentOwned if that is another file's."""
        if not origin.occurred_at or not row.occurred_at or row.occurred_at <= origin.occurred_at:
            return False
        if origin.claim:
            check_owner(row, origin.claim)
        return True

    def _result_of(
        self, document: PreparedDocument, pk: int, numbers: Mapping[int, int], last: Mapping[int, int]
    ) -> IndexResult:
        is_written = pk in numbers
        return IndexResult(
            document_id=document.content.entity_id,
            version=numbers[pk] if is_written else last.get(pk, 0),
            is_changed=is_written,
            chunk_count=len(document.passages) if is_written else 0,
            embedded_count=document.embedded_count if is_written else 0,
            is_superseded=not is_written,
        )

    def _serve(self, changes: Sequence["ChunkChange"]) -> None:
        """Copy the versions' contents to the documents' rows."""
        now = timezone.now()
        moments = [change.document.origin.occurred_at or now for change in changes]
        with connection.cursor() as cursor:
            values: list[Any] = [now, now, [change.version.pk for change in changes], moments]
            cursor.execute(_SERVE, values)
        repaired = [
            change.row.pk for change in changes if not change.row.has_failure_after(change.document.origin.occurred_at)
        ]
        Document.objects.filter(pk__in=repaired).update(**NO_FAILURE)
        for change in changes:
            if claim := change.document.origin.claim:
                was_served = change.row.version_id is not None
                self._claims.append((change.row, was_served, claim, change.document.content.digest))
        if self.index.generations.exclude(pk=self.generation.pk).exists():
            for change in changes:
                transaction.on_commit(partial(enqueue_follow, change.row.pk))

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


@dataclass(frozen=True, kw_only=True)
class ChunkChange:
    """A document's row and version, and what its chunks are to be."""

    row: Document
    version: DocumentVersion
    document: PreparedDocument
    is_new: bool = False
    """It has no chunks yet."""


def replace_chunks(index: Index, generation: Generation, changes: Sequence[ChunkChange]) -> int:
    """Replace documents' chunks in a generation, in the caller's transaction; return by how many they increased."""
    removed = 0
    if known := [change.row for change in changes if not change.is_new]:
        removed, _ = Chunk.objects.filter(document__in=known, generation=generation).delete()
    chunks = [
        Chunk(
            generation=generation,
            document=change.row,
            version=change.version,
            position=passage.position,
            heading_path=passage.heading_path,
            text=passage.text,
            token_count=passage.token_count,
            content_hash=passage.content_hash,
            metadata=change.version.metadata,
            audience=change.version.audience,
            embedding=change.document.vectors[passage.content_hash],
            lexemes=lexemes_of(index.language, passage.embedded_text),
        )
        for change in changes
        for passage in change.document.passages
    ]
    Chunk.objects.bulk_create(chunks, batch_size=500)
    return len(chunks) - removed


def _version_of(row: Document, number: int, document: PreparedDocument) -> DocumentVersion:
    content, origin = document.content, document.origin
    return DocumentVersion(
        document=row,
        number=number,
        title=content.title,
        text=content.text,
        metadata=content.metadata,
        audience=content.audience,
        content_hash=content.digest,
        source=origin.source[:100],
        author=origin.author[:200],
    )
