"""Commit changes of documents atomically: readers see either the old or the new state."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Max
from django.utils import timezone

from common.locks import share_in_transaction
from events.arrival import newest_event
from retrieval.dispatch import enqueue_follow, enqueue_hnsw_build
from retrieval.indexing.document_input import IndexResult
from retrieval.indexing.ownership import FileClaim, check_owner, own
from retrieval.indexing.preconditions import times_of_writes
from retrieval.indexing.prepare import PreparedDocument
from retrieval.models import Chunk, Document, DocumentVersion, Generation, Index
from retrieval.search.lexemes import lexemes_of

NO_FAILURE = {
    "state": Document.State.INDEXED, "error": "", "failures": 0, "retry_at": None, "failed_event": None,
}  # fmt: skip
"""The columns of a document without a failed change that waits for a retry."""


_SERVE = """
UPDATE retrieval_document d
SET title = v.title, text = v.text, metadata = v.metadata, audience = v.audience, version_id = v.id,
    occurred_at = given.moment, after_event = given.after_event,
    audience_at = given.audience_at, metadata_at = given.metadata_at,
    updated_at = %(now)s, indexed_at = %(now)s, deleted_at = NULL,
    state = CASE WHEN given.has_failure THEN d.state ELSE 'indexed' END,
    error = CASE WHEN given.has_failure THEN d.error ELSE '' END,
    failures = CASE WHEN given.has_failure THEN d.failures ELSE 0 END,
    retry_at = CASE WHEN given.has_failure THEN d.retry_at END,
    failed_event_id = CASE WHEN given.has_failure THEN d.failed_event_id END
FROM unnest(%(versions)s::bigint[], %(moments)s::timestamptz[], %(audience_at)s::timestamptz[],
            %(metadata_at)s::timestamptz[], %(after_event)s::bigint[], %(has_failure)s::boolean[])
     AS given (version_id, moment, audience_at, metadata_at, after_event, has_failure)
JOIN retrieval_documentversion v ON v.id = given.version_id
WHERE d.id = v.document_id
"""
"""One statement for any number of documents; the columns of a failure are those of NO_FAILURE.

Texts stay in the database. `bulk_update` sends them again: for 20 documents of 3 kB it keeps Python at work for 50 ms,
this for 2.
"""


_CHUNKS_AT_ONCE = 5000
"""In one statement: some 30 MB."""


class GenerationSwitched(Exception):
    """The index was switched to another generation since the documents were prepared."""


def switch_lock(index_id: int) -> str:
    """Return the name of the lock that document changes share and a switch of generations holds exclusively."""
    return f"switch {index_id}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A document's locked row, the version that it is to serve, and what that was made from."""

    row: Document
    version: DocumentVersion
    document: PreparedDocument
    is_new: bool = False
    """It has no chunks yet."""


class DocumentChange:
    """A transaction that changes documents of one index; see `change_documents`."""

    def __init__(self, index: Index, generation: Generation) -> None:
        self.index, self.generation = index, generation
        self._is_changed = False
        self._added = 0
        self._claims: list[tuple[Document, bool, FileClaim, str]] = []

    def write(self, documents: Sequence[PreparedDocument]) -> list[IndexResult]:
        """Write new versions of documents and their chunks, but for those that are already in a later state.

        The number of statements does not depend on the number of documents. Raise DocumentOwned if a later state is
        another file's, DocumentChanged unless the precondition of each origin is met.
        """
        results: dict[int, IndexResult] = {}
        left = dict(enumerate(documents))
        while left:  # once, unless documents have the same id: the last one is then the newest version
            ids = {document.content.entity_id: position for position, document in reversed(left.items())}
            positions = sorted(ids.values())
            results.update(zip(positions, self._write([left.pop(position) for position in positions]), strict=True))
        return [results[position] for position in range(len(documents))]

    def _write(self, documents: Sequence[PreparedDocument]) -> list[IndexResult]:
        """Write documents that have different ids."""
        rows = self._locked(documents)
        numbers = DocumentVersion.objects.filter(document__in=rows.values()).order_by().values_list("document")
        last = dict(numbers.annotate(last=Max("number")))
        changes: list[Change] = []
        for document in documents:
            row, origin = rows[document.content.entity_id], document.origin
            row.correct_time(origin.occurred_at)
            if origin.occurred_at and row.occurred_at and row.occurred_at > origin.occurred_at:
                if origin.claim:
                    check_owner(row, origin.claim)
                continue
            number = last.get(row.pk, 0) + 1
            version = _version(row, number, document)
            changes.append(Change(row=row, version=version, document=document, is_new=number == 1))
            if origin.claim:
                self._claims.append((row, row.version_id is not None, origin.claim, document.content.digest))
        if changes:
            DocumentVersion.objects.bulk_create([change.version for change in changes])
            self._added += replace_chunks(self.index, self.generation, changes)
            self._serve(changes)
            self._is_changed = True
        changed = {change.row.entity_id: change.version.number for change in changes}
        return [_result(document, changed, last.get(rows[document.content.entity_id].pk, 0)) for document in documents]

    def _locked(self, documents: Sequence[PreparedDocument]) -> dict[str, Document]:
        """Return the locked rows of the documents by their ids; new ones are made, and say nothing yet."""
        ids = [document.content.entity_id for document in documents]
        new = {entity_id: Document(index=self.index, entity_id=entity_id) for entity_id in ids}
        Document.objects.bulk_create(new.values(), ignore_conflicts=True)
        found = Document.objects.select_for_update().filter(index=self.index, entity_id__in=ids).order_by("entity_id")
        rows = {row.entity_id: row for row in found.defer("title", "text", "metadata", "audience")}
        for document in documents:
            if (precondition := document.origin.precondition) is not None:
                entity_id = document.content.entity_id
                row = rows[entity_id]
                is_new = row.created_at == new[entity_id].created_at
                precondition.check(self.index.name, entity_id, None if is_new or row.deleted_at is not None else row)
        return rows

    def _serve(self, changes: Sequence[Change]) -> None:
        """Copy the content of the versions to the rows of their documents."""
        now = timezone.now()
        origins = [change.document.origin for change in changes]
        written = [change.row.entity_id for change in changes if change.document.origin.occurred_at is None]
        times = times_of_writes(self.index.name, written) if written else {}
        moments = [
            origin.occurred_at or times[change.row.entity_id] for change, origin in zip(changes, origins, strict=True)
        ]
        newest = newest_event()
        with connection.cursor() as cursor:
            cursor.execute(
                _SERVE,
                {
                    "now": now,
                    "versions": [change.version.pk for change in changes],
                    "moments": moments,
                    **{
                        f"{name}_at": [
                            origin.set_at.get(name) or moment for origin, moment in zip(origins, moments, strict=True)
                        ]
                        for name in ("audience", "metadata")
                    },
                    "after_event": [newest if origin.after_event is None else origin.after_event for origin in origins],
                    "has_failure": [
                        change.row.has_failure_after(origin.occurred_at)
                        for change, origin in zip(changes, origins, strict=True)
                    ],
                },
            )
        if self.index.generations.exclude(pk=self.generation.pk).exists():
            pks = [change.row.pk for change in changes]
            transaction.on_commit(lambda: enqueue_follow(pks))

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


def replace_chunks(index: Index, generation: Generation, changes: Sequence[Change]) -> int:
    """Replace the documents' chunks in a generation, in the caller's transaction; return by how many they increased."""
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
    Chunk.objects.bulk_create(chunks, batch_size=_CHUNKS_AT_ONCE)
    return len(chunks) - removed


def _version(row: Document, number: int, document: PreparedDocument) -> DocumentVersion:
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


def _result(document: PreparedDocument, changed: Mapping[str, int], last: int) -> IndexResult:
    entity_id = document.content.entity_id
    is_changed = entity_id in changed
    return IndexResult(
        document_id=entity_id,
        version=changed.get(entity_id, last),
        is_changed=is_changed,
        chunk_count=len(document.passages) if is_changed else 0,
        embedded_count=document.embedded_count if is_changed else 0,
        is_superseded=not is_changed,
    )
