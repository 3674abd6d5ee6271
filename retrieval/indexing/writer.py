"""The change of one document, in the caller's transaction: readers see the old or the new, whole."""

from collections.abc import Sequence

import numpy as np
from django.contrib.postgres.search import SearchVector
from django.db import connection, transaction
from django.db.models import F, Value
from django.utils import timezone

from retrieval.dispatch import enqueue_follow, enqueue_hnsw_build
from retrieval.embedders import Embedder
from retrieval.generations import hnsw
from retrieval.indexing.chunking import Passage
from retrieval.indexing.document_input import Content, IndexResult, Origin
from retrieval.models import Chunk, Document, DocumentVersion, Generation, Index
from retrieval.search.lexemes import lexical_text

NO_FAILURE = {
    "state": Document.State.INDEXED, "error": "", "failures": 0, "retry_at": None, "failed_event": None,
}  # fmt: skip
"""What a document's columns say when nothing of it waits to be retried."""


class GenerationSwitched(Exception):
    """The index is served by another generation since."""


def switch_lock(index_id: int) -> str:
    """Return the name of the lock that changes of documents share, and that a switch of generations has alone."""
    return f"switch {index_id}"


def embed_passages(
    passages: list[Passage], generation: Generation, documents: Sequence[Document], embedder: Embedder
) -> tuple[dict[str, np.ndarray], int]:
    """Return a vector for each content hash, and how many were made: what did not change keeps its own."""
    hashes = {passage.content_hash: passage.embedded_text for passage in passages}
    known: dict[str, np.ndarray] = {}
    if documents:
        chunks = Chunk.objects.filter(generation=generation, document__in=documents, content_hash__in=hashes)
        known = dict(chunks.values_list("content_hash", "embedding"))
    missing = [digest for digest in hashes if digest not in known]
    if missing:
        known |= zip(missing, embedder.embed([hashes[digest] for digest in missing]), strict=True)
    return known, len(missing)


def replace_chunks(
    index: Index,
    generation: Generation,
    content: Content,
    passages: list[Passage],
    vectors: dict[str, np.ndarray],
    embedded_count: int,
    origin: Origin,
) -> tuple[IndexResult, int]:
    """Write the document's new version; return the result and by how many chunks the index grew.

    It is for a transaction that ends with `note_change`.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", [switch_lock(index.pk)])
    now = timezone.now()
    Document.objects.bulk_create(
        [Document(index=index, entity_id=content.entity_id, title=content.title, text=content.text)],
        ignore_conflicts=True,
    )
    document = Document.objects.select_for_update().get(index=index, entity_id=content.entity_id)
    last = document.versions.order_by("-number").values_list("number", flat=True).first() or 0
    if origin.occurred_at and document.occurred_at and document.occurred_at > origin.occurred_at:
        return IndexResult(
            document_id=content.entity_id, version=last, is_changed=False, chunk_count=0, embedded_count=0,
            is_superseded=True,
        ), 0  # fmt: skip
    version = DocumentVersion.objects.create(
        document=document,
        number=last + 1,
        title=content.title,
        text=content.text,
        metadata=content.metadata,
        audience=content.audience,
        content_hash=content.digest,
        source=origin.source[:100],
        author=origin.author[:200],
    )
    removed, _ = Chunk.objects.filter(document=document, generation=generation).delete()
    Chunk.objects.bulk_create(chunk_rows(index, generation, document, version, passages, vectors), batch_size=500)
    Document.objects.filter(pk=document.pk).update(
        title=content.title,
        text=content.text,
        metadata=content.metadata,
        audience=content.audience,
        version=version,
        occurred_at=origin.occurred_at or now,
        updated_at=now,
        indexed_at=now,
        deleted_at=None,
        **({} if document.failure_after(origin.occurred_at) else NO_FAILURE),
    )
    if index.generations.exclude(pk=generation.pk).exists():
        transaction.on_commit(lambda: enqueue_follow(document.pk))
    return IndexResult(
        document_id=content.entity_id,
        version=version.number,
        is_changed=True,
        chunk_count=len(passages),
        embedded_count=embedded_count,
    ), len(passages) - removed


def note_change(index: Index, generation: Generation, added: int) -> None:
    """Move the index's version, last in a transaction, since all of the index's writers wait for this row.

    Raise GenerationSwitched if the index is served by another generation since.
    """
    if not Index.objects.filter(pk=index.pk, generation=generation).update(
        version=F("version") + 1, chunk_count=F("chunk_count") + added
    ):
        raise GenerationSwitched
    if not generation.has_hnsw and index.chunk_count + added >= hnsw.WORTH_IT:
        transaction.on_commit(lambda: enqueue_hnsw_build(generation.pk))


def chunk_rows(
    index: Index,
    generation: Generation,
    document: Document,
    version: DocumentVersion,
    passages: list[Passage],
    vectors: dict[str, np.ndarray],
) -> list[Chunk]:
    return [
        Chunk(
            generation=generation,
            document=document,
            version=version,
            position=passage.position,
            heading_path=passage.heading_path,
            text=passage.text,
            token_count=passage.token_count,
            content_hash=passage.content_hash,
            metadata=version.metadata,
            audience=version.audience,
            embedding=vectors[passage.content_hash],
            lexemes=SearchVector(Value(lexical_text(passage.embedded_text)), config=index.language),
        )
        for passage in passages
    ]
