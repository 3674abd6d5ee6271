"""Verify that documents, versions, chunks, embeddings and counts of an index agree, and repair what does not.

Most checks are SQL statements; the hashes are computed here, from rows that are streamed.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from django.db import connection, transaction
from django.db.models import F

from retrieval.embedders import Embedder, embedder_of, get_embedder
from retrieval.generations import hnsw
from retrieval.generations.lifecycle import build_documents
from retrieval.indexing.chunking import embedded_text
from retrieval.indexing.document_input import content_digest
from retrieval.indexing.documents import index_document
from retrieval.indexing.purge import continue_purge, left_of
from retrieval.models import Chunk, Document, DocumentVersion, Generation, Index
from retrieval.search.lexemes import count_wrong_counts, recount

_MIN_COSINE = 0.999


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One inconsistency."""

    check: str
    what: str
    document: str = ""
    """The document's id."""
    document_pk: int | None = None
    generation_pk: int | None = None

    def __str__(self) -> str:
        document = f" {self.document}" if self.document else ""
        generation = f" (generation #{self.generation_pk})" if self.generation_pk else ""
        return f"{self.check}:{document}{generation} {self.what}"


# Each statement returns (document id, primary key, generation, what is wrong); %(index)s is the index's primary key.
# These read the documents whose primary keys are from %(first)s to %(last)s.
_SQL = {
    "document": """
        SELECT d.entity_id, d.id, NULL::bigint, w.what FROM retrieval_document d
        LEFT JOIN retrieval_documentversion v ON v.id = d.version_id
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN v.id IS NULL AND d.state = 'indexed' THEN 'is called indexed and has no version'
                WHEN v.document_id <> d.id THEN 'serves a version of another document'
                WHEN v.number < (SELECT max(number) FROM retrieval_documentversion n WHERE n.document_id = d.id)
                    THEN 'does not serve its newest version'
                WHEN d.state = 'indexed' AND (d.title, d.text, d.metadata, d.audience::text)
                    <> (v.title, v.text, v.metadata, v.audience::text) THEN 'does not say what its version says'
            END AS what
        ) w
        WHERE d.id BETWEEN %(first)s AND %(last)s
            AND d.index_id = %(index)s AND d.deleted_at IS NULL AND w.what IS NOT NULL ORDER BY d.id
    """,
    "deleted": """
        SELECT d.entity_id, d.id, NULL::bigint, 'is deleted and has ' || count(*) || ' chunks'
        FROM retrieval_document d JOIN retrieval_chunk c ON c.document_id = d.id
        WHERE d.id BETWEEN %(first)s AND %(last)s
            AND d.index_id = %(index)s AND d.deleted_at IS NOT NULL GROUP BY d.id ORDER BY d.id
    """,
    "foreign": """
        SELECT d.entity_id, d.id, c.generation_id, 'has ' || count(*) || ' chunks in a generation of another index'
        FROM retrieval_chunk c JOIN retrieval_document d ON d.id = c.document_id
        JOIN retrieval_generation g ON g.id = c.generation_id
        WHERE d.id BETWEEN %(first)s AND %(last)s
            AND d.index_id = %(index)s AND g.index_id <> d.index_id GROUP BY d.id, c.generation_id ORDER BY d.id
    """,
    "missing": """
        SELECT d.entity_id, d.id, i.generation_id, 'has no chunks'
        FROM retrieval_document d JOIN retrieval_index i ON i.id = d.index_id
        WHERE d.id BETWEEN %(first)s AND %(last)s
            AND d.index_id = %(index)s AND d.deleted_at IS NULL AND d.version_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM retrieval_chunk c WHERE c.generation_id = i.generation_id AND c.document_id = d.id
        ) ORDER BY d.id
    """,
    "stale": """
        SELECT d.entity_id, d.id, c.generation_id, 'has ' || count(*) || ' chunks of another version'
        FROM retrieval_index i JOIN retrieval_chunk c ON c.generation_id = i.generation_id
        JOIN retrieval_document d ON d.id = c.document_id
        WHERE d.id BETWEEN %(first)s AND %(last)s
            AND i.id = %(index)s AND d.deleted_at IS NULL AND c.version_id IS DISTINCT FROM d.version_id
        GROUP BY d.id, c.generation_id ORDER BY d.id
    """,
    "position": """
        SELECT d.entity_id, d.id, c.generation_id,
            'has ' || count(*) || ' chunks at ' || count(DISTINCT c.position) || ' places from ' || min(c.position)
                || ' to ' || max(c.position)
        FROM retrieval_generation g JOIN retrieval_chunk c ON c.generation_id = g.id
        JOIN retrieval_document d ON d.id = c.document_id
        WHERE d.id BETWEEN %(first)s AND %(last)s
            AND g.index_id = %(index)s GROUP BY d.id, c.generation_id
        HAVING min(c.position) <> 0 OR max(c.position) <> count(*) - 1 OR count(DISTINCT c.position) <> count(*)
        ORDER BY d.id
    """,
    "metadata": """
        SELECT d.entity_id, d.id, c.generation_id, 'has ' || count(*) || ' chunks without its metadata or audience'
        FROM retrieval_generation g JOIN retrieval_chunk c ON c.generation_id = g.id
        JOIN retrieval_documentversion v ON v.id = c.version_id JOIN retrieval_document d ON d.id = c.document_id
        WHERE d.id BETWEEN %(first)s AND %(last)s
            AND g.index_id = %(index)s AND (c.metadata <> v.metadata OR c.audience::text[] <> v.audience::text[])
        GROUP BY d.id, c.generation_id ORDER BY d.id
    """,
    "embedding": """
        SELECT d.entity_id, d.id, c.generation_id, 'has ' || count(*) || ' embeddings of '
            || min(vector_dims(c.embedding)) || ' dimensions and length ' || min(vector_norm(c.embedding))::real
        FROM retrieval_generation g JOIN retrieval_chunk c ON c.generation_id = g.id
        JOIN retrieval_document d ON d.id = c.document_id
        WHERE d.id BETWEEN %(first)s AND %(last)s
            AND g.index_id = %(index)s
            AND (vector_dims(c.embedding) <> g.dimension OR NOT vector_norm(c.embedding) BETWEEN 0.99 AND 1.01)
        GROUP BY d.id, c.generation_id ORDER BY d.id
    """,
}
_SQL_OF_INDEX = {
    "count": """
        SELECT '', NULL::bigint, NULL::bigint, 'the index counts ' || i.chunk_count || ' chunks and has ' || n.count
        FROM retrieval_index i
        CROSS JOIN LATERAL (SELECT count(*) FROM retrieval_chunk c WHERE c.generation_id = i.generation_id) n
        WHERE i.id = %(index)s AND i.chunk_count <> n.count
    """,
    "hnsw": """
        SELECT '', NULL::bigint, g.id, 'is said to have an HNSW that is not there or not valid'
        FROM retrieval_generation g WHERE g.index_id = %(index)s AND g.has_hnsw AND NOT EXISTS (
            SELECT FROM pg_index x WHERE x.indexrelid = to_regclass('chunk_hnsw_' || g.id) AND x.indisvalid
        )
    """,
}
_CHUNK_CHECKS = ("missing", "stale", "position", "metadata", "embedding", "hash", "sample")


@dataclass(frozen=True, kw_only=True)
class VerificationProgress:
    """What is told while an index is verified."""

    on_phase: Callable[[str], object] = lambda name: None
    on_done: Callable[[int], object] = lambda count: None
    """Gets a number of documents, or of chunks that were embedded again, some of the `step_count` in all."""


def step_count(index: Index, *, sample: int = 0) -> int:
    """Return how many steps there are: each document by itself, twice in each generation, and the sampled chunks."""
    generations = list(index.generations.exclude(state=Generation.State.DROPPING))
    sampled = sum(Chunk.objects.filter(generation=generation)[:sample].count() for generation in generations)
    return Document.objects.filter(index=index).count() * (1 + 2 * len(generations)) + sampled


def verify(
    index: Index,
    *,
    sample: int = 0,
    progress: VerificationProgress | None = None,
    window_size: int = 200,
    embedded_at_once: int = 32,
) -> Iterator[Finding]:
    """Yield each inconsistency; `sample` random chunks are embedded again and compared with their stored vectors.

    Documents are read `window_size` at a time, and each check of them in one snapshot, so that documents may change
    meanwhile; `embedded_at_once` chunks take the local model half a second. Raise EmbedderUnavailable.
    """
    progress = progress or VerificationProgress()
    pks = list(Document.objects.filter(index=index).order_by("pk").values_list("pk", flat=True))
    windows = [pks[start : start + window_size] for start in range(0, len(pks), window_size)]
    progress.on_phase("documents")
    for sql in _SQL_OF_INDEX.items():
        yield from _found(*sql, {"index": index.pk})
    for window in windows:
        for sql in _SQL.items():
            yield from _found(*sql, {"index": index.pk, "first": window[0], "last": window[-1]})
        yield from _versions(index, window)
        progress.on_done(len(window))
    for document in Document.objects.purged().filter(index=index).select_related("index").order_by("pk"):
        for what in left_of(document):
            yield Finding(
                check="purge", what=f"was purged, and {what}", document=document.entity_id, document_pk=document.pk
            )
    for generation in index.generations.exclude(state=Generation.State.DROPPING):
        progress.on_phase(f"words of #{generation.pk}")
        if wrong := count_wrong_counts(generation.pk, windows, progress.on_done):
            yield Finding(
                check="lexemes", what=f"the counts of {wrong} lexemes are not the chunks'", generation_pk=generation.pk
            )
        progress.on_phase(f"texts of #{generation.pk}")
        for window in windows:
            yield from _hashes(generation, window)
            progress.on_done(len(window))
        if sample:
            progress.on_phase(f"vectors of #{generation.pk}")
            yield from _sampled(generation, sample, embedded_at_once, progress.on_done)


def _found(check: str, sql: str, parameters: dict[str, int]) -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()
    for document, document_pk, generation_pk, what in rows:
        yield Finding(check=check, what=what, document=document, document_pk=document_pk, generation_pk=generation_pk)


def _versions(index: Index, window: Sequence[int]) -> Iterator[Finding]:
    versions = DocumentVersion.objects.filter(document__version=F("pk"), document__pk__range=(window[0], window[-1]))
    versions = versions.filter(document__index=index)
    fields = ("title", "text", "metadata", "audience", "content_hash", "number", "document_id", "document__entity_id")
    for *content, digest, number, document_pk, document in versions.values_list(*fields):
        if content_digest(*content) != digest:
            yield Finding(
                check="version", what=f"v{number} has not the hash of what it says", document=document,
                document_pk=document_pk,
            )  # fmt: skip


def _hashes(generation: Generation, window: Sequence[int]) -> Iterator[Finding]:
    embedder = get_embedder(generation.embedding_model, generation.embedder)
    chunks = Chunk.objects.filter(generation=generation, document__pk__range=(window[0], window[-1])).order_by()
    fields = (
        "version__title", "heading_path", "text", "content_hash", "position", "document_id", "document__entity_id",
    )  # fmt: skip
    for title, path, text, digest, position, document_pk, document in chunks.values_list(*fields):
        if hashlib.sha256(embedded_text(title, path, text, embedder).encode()).hexdigest() != digest:
            yield Finding(
                check="hash", what=f"chunk {position} has not the hash of its text", document=document,
                document_pk=document_pk, generation_pk=generation.pk,
            )  # fmt: skip


def _sampled(generation: Generation, count: int, at_once: int, on_done: Callable[[int], object]) -> Iterator[Finding]:
    """Embed randomly chosen chunks again, some at a time, and compare with their stored embeddings."""
    embedder = embedder_of(generation)
    # The keys alone are sorted, not the vectors.
    pks = list(Chunk.objects.filter(generation=generation).order_by("?").values_list("pk", flat=True)[:count])
    for start in range(0, len(pks), at_once):
        window = pks[start : start + at_once]
        yield from _compared(generation, embedder, window)
        on_done(len(window))


def _compared(generation: Generation, embedder: Embedder, pks: Sequence[int]) -> Iterator[Finding]:
    chunks = list(Chunk.objects.filter(pk__in=pks).select_related("version", "document"))
    texts = [embedded_text(chunk.version.title, chunk.heading_path, chunk.text, embedder) for chunk in chunks]
    for chunk, vector in zip(chunks, embedder.embed(texts), strict=True):
        stored = np.asarray(chunk.embedding, np.float32)
        cosine = float(stored @ vector) / (float(np.linalg.norm(stored)) or 1) if stored.shape == vector.shape else 0.0
        if cosine < _MIN_COSINE:
            yield Finding(
                check="sample", what=f"the embedding of chunk {chunk.position} is not its text's (cosine {cosine:.3f})",
                document=chunk.document.entity_id, document_pk=chunk.document_id, generation_pk=generation.pk,
            )  # fmt: skip


def repair(index: Index, findings: list[Finding], on_done: Callable[[int], object] = lambda count: None) -> None:
    """Repair what was found, each document in one commit; call `verify` again to check the result."""
    done: set[tuple[int | None, int | None]] = set()
    for finding in findings:
        target = (finding.document_pk, finding.generation_pk if finding.check in _CHUNK_CHECKS else None)
        if target not in done:
            _repair_one(index, finding)
        if finding.check not in ("hnsw", "lexemes"):
            done.add(target)
        on_done(1)
    _recount(index)


def _repair_one(index: Index, finding: Finding) -> None:
    pk = finding.document_pk
    if finding.check in _CHUNK_CHECKS and pk is not None:
        build_documents(Generation.objects.get(pk=finding.generation_pk or 0), [pk], force=True)
    elif finding.check == "purge":
        continue_purge(Document.objects.get(pk=pk or 0))
    elif finding.check == "deleted":
        Chunk.objects.filter(document=pk).delete()
    elif finding.check == "foreign":
        Chunk.objects.filter(document=pk, generation=finding.generation_pk).delete()
    elif finding.check in ("document", "version"):
        document = Document.objects.get(pk=pk or 0)
        index_document(
            index.name, document.entity_id, document.text, document.metadata, title=document.title,
            audience=document.audience, source="verify_index", force=True,
        )  # fmt: skip
    elif finding.check == "lexemes" and finding.generation_pk is not None:
        recount(finding.generation_pk)
    elif finding.check == "hnsw" and finding.generation_pk is not None:
        Generation.objects.filter(pk=finding.generation_pk).update(has_hnsw=False)
        hnsw.build_hnsw(finding.generation_pk)


def _recount(index: Index) -> None:
    with transaction.atomic():
        row = Index.objects.select_for_update(no_key=True).get(pk=index.pk)
        row.chunk_count, row.version = Chunk.objects.filter(generation=row.generation).count(), row.version + 1
        row.save(update_fields=["chunk_count", "version"])
