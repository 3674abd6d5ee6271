"""Index, update and delete documents: embedding first, then one transaction for all that changes."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.conf import settings
from django.contrib.postgres.search import SearchVector
from django.db import connection, transaction
from django.db.models import Count, F, Value
from django.utils import timezone

from features.errors import InvalidInput
from features.text import check_key, check_text, to_json
from retrieval import hnsw
from retrieval.chunking import Passage, split, title_of
from retrieval.embedders import Embedder, embedder_of, get_embedder
from retrieval.errors import DocumentNotFound, DocumentTooLarge, IndexNotFound
from retrieval.filters import check_audience
from retrieval.lexemes import lexical_text
from retrieval.models import Chunk, Document, DocumentVersion, Generation, Index

logger = logging.getLogger(__name__)

_RETRY = timedelta(minutes=2)
"""Longer than an event's own first attempts take."""
_RETRY_MAX = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class IndexResult:
    document_id: str
    version: int
    is_changed: bool
    """False: the text, title and metadata were already being served."""
    chunk_count: int
    embedded_count: int
    """Chunks that had to be embedded; the others kept their vectors."""
    is_superseded: bool = False
    """True: the document is in a later state than this one, which was not applied."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """A checked document, as it will be stored."""

    entity_id: str
    title: str
    text: str
    metadata: dict[str, Any]
    audience: list[str]

    @property
    def digest(self) -> str:
        return content_digest(self.title, self.text, self.metadata, self.audience)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a state of a document is from."""

    source: str
    author: str = ""
    occurred_at: datetime | None = None


def content_digest(title: str, text: str, metadata: dict[str, Any], audience: list[str]) -> str:
    """Return what tells two states of a document apart."""
    parts = [title, text, metadata, *([audience] if audience else [])]
    return hashlib.sha256(to_json(parts, "document").encode()).hexdigest()


class Switched(Exception):
    """The index is served by another generation since."""


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
    force: bool = False,
) -> IndexResult:
    """Make the document say `text` in every search that begins after this returns.

    The index is made if there is none. Only searches for one of `audience` find the document; empty means everyone.
    `source` says what it came by, `author` who wrote it. `occurred_at` orders states: one older than the document's
    is not applied. `force` splits and embeds anew what is unchanged. Raise InvalidInput, DocumentTooLarge or
    EmbedderUnavailable; then nothing has changed.
    """
    content = check_document(index_name, entity_id, text, metadata, title, audience)
    origin = Origin(source=source, author=author, occurred_at=occurred_at)
    while True:
        index, generation = ensure_index(index_name)
        served = (
            Document.objects.filter(index=index, entity_id=entity_id, deleted_at=None).select_related("version").first()
        )
        if not force and served and (result := unchanged(served, content, occurred_at)):
            return result
        known = [served] if served and not force else []
        embedder = embedder_of(generation)
        passages = split(content.title, content.text, embedder, generation.max_tokens)
        vectors, embedded_count = embed_passages(passages, generation, known, embedder)
        try:
            with transaction.atomic():
                return _swap(index, generation, content, passages, vectors, embedded_count, origin)
        except Switched:
            continue  # embedded for a generation that no longer serves


def switch_lock(index_id: int) -> str:
    """Return the name of the lock that changes of documents share, and that a switch of generations has alone."""
    return f"switch {index_id}"


def check_document(
    index_name: str,
    entity_id: str,
    text: str,
    metadata: dict[str, Any] | None,
    title: str = "",
    audience: Sequence[str] = (),
) -> Content:
    """Return the document ready to be stored; raise InvalidInput or DocumentTooLarge."""
    check_key(index_name, "index_name")
    check_key(entity_id, "entity_id")
    if not check_text(text, "text").strip():
        raise InvalidInput("text must not be empty.")
    if len(text.encode()) > settings.FABRA_DOCUMENT_MAX_BYTES:
        raise DocumentTooLarge(f"text must have at most {settings.FABRA_DOCUMENT_MAX_BYTES} bytes.")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict):
        raise InvalidInput("metadata must be an object.")
    to_json(metadata, "metadata")
    names = check_audience(audience)
    if isinstance(names, str):
        raise InvalidInput("A document is for everyone when its audience is empty.")
    named = title or metadata.get("title") or title_of(text) or entity_id
    return Content(
        entity_id=entity_id,
        title=check_text(named if isinstance(named, str) else str(named), "title")[:500],
        text=text,
        metadata=metadata,
        audience=names,
    )


def ensure_index(name: str) -> tuple[Index, Generation]:
    """Return the index and its serving generation, made for the embedder of the settings if need be."""
    index = Index.objects.select_related("generation").filter(name=name).first()
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


def delete_document(index_name: str, entity_id: str, *, occurred_at: datetime | None = None) -> bool:
    """Remove a document from every search; its versions stay, as evidence for old traces.

    Return False for one in a later state than `occurred_at`, which is left as it is. Raise IndexNotFound or
    DocumentNotFound.
    """
    with transaction.atomic():
        index = Index.objects.filter(name=check_key(index_name, "index_name")).first()
        if index is None:
            raise IndexNotFound(f"There is no index {index_name!r}.")
        document = (
            Document.objects.live()
            .select_for_update()
            .filter(index=index, entity_id=check_key(entity_id, "entity_id"))
            .first()
        )
        if document is None:
            raise DocumentNotFound(f"There is no document {entity_id!r} in the index {index_name!r}.")
        if occurred_at and document.occurred_at and document.occurred_at > occurred_at:
            return False
        chunks = Chunk.objects.filter(document=document)
        removed = dict(chunks.values_list("generation").annotate(count=Count("pk")))
        chunks.delete()
        now = timezone.now()
        Document.objects.filter(pk=document.pk).update(
            state=Document.State.DELETED, deleted_at=now, version=None, occurred_at=occurred_at or now, updated_at=now
        )
        # Another generation may have come to serve while this waited.
        serving = Index.objects.select_for_update(no_key=True).values_list("generation", flat=True).get(pk=index.pk)
        Index.objects.filter(pk=index.pk).update(
            version=F("version") + 1, chunk_count=F("chunk_count") - removed.get(serving, 0)
        )
    return True


def mark_failed(index_name: str, entity_id: str, reason: str, *, may_pass: bool, text: str = "") -> None:
    """Note why a document could not be indexed; its previous version serves on.

    `may_pass` has it tried again by itself, later from failure to failure. A document that never was indexed
    is made of `text`, so that it is seen.
    """
    index = Index.objects.filter(name=index_name).first()
    if index is not None and text:
        new = Document(index=index, entity_id=entity_id, title=entity_id, text=text, state=Document.State.FAILED)
        Document.objects.bulk_create([new], ignore_conflicts=True)
    document = Document.objects.live().filter(index=index, entity_id=entity_id).first()
    if document is not None:
        wait = min(_RETRY_MAX, _RETRY * 2 ** min(document.failures, 10))
        Document.objects.filter(pk=document.pk).update(
            state=Document.State.FAILED,
            error=reason,
            failures=F("failures") + 1,
            retry_at=timezone.now() + wait if may_pass else None,
        )


def unchanged(served: Document, content: Content, occurred_at: datetime | None) -> IndexResult | None:
    """Return the result if the document is being served as it shall be; None if not, or no longer."""
    if served.version is None or served.version.content_hash != content.digest:
        return None
    changes: dict[str, Any] = {
        "state": Document.State.INDEXED, "error": "", "failures": 0, "retry_at": None, "title": content.title,
        "text": content.text, "metadata": content.metadata, "audience": content.audience,
    }  # fmt: skip
    if occurred_at and (served.occurred_at is None or served.occurred_at < occurred_at):
        changes["occurred_at"] = occurred_at
    if not Document.objects.filter(pk=served.pk, version_id=served.version_id).update(**changes):
        return None  # another writer was faster
    return IndexResult(
        document_id=content.entity_id,
        version=served.version.number,
        is_changed=False,
        chunk_count=Chunk.objects.filter(document=served).count(),
        embedded_count=0,
    )


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


def _swap(
    index: Index,
    generation: Generation,
    content: Content,
    passages: list[Passage],
    vectors: dict[str, np.ndarray],
    embedded_count: int,
    origin: Origin,
) -> IndexResult:
    """Replace the document's chunks, in the caller's transaction; readers see the old or the new, whole."""
    result, added = replace_chunks(index, generation, content, passages, vectors, embedded_count, origin)
    if result.is_changed:
        note_change(index, generation, added)
    return result


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
        state=Document.State.INDEXED,
        error="",
        failures=0,
        retry_at=None,
        version=version,
        occurred_at=origin.occurred_at or now,
        updated_at=now,
        indexed_at=now,
        deleted_at=None,
    )
    if index.generations.exclude(pk=generation.pk).exists():
        transaction.on_commit(lambda: _ask_to_follow(document.pk))
    return IndexResult(
        document_id=content.entity_id,
        version=version.number,
        is_changed=True,
        chunk_count=len(passages),
        embedded_count=embedded_count,
    ), len(passages) - removed


def note_change(index: Index, generation: Generation, added: int) -> None:
    """Move the index's version, last in a transaction, since all of the index's writers wait for this row.

    Raise Switched if the index is served by another generation since.
    """
    if not Index.objects.filter(pk=index.pk, generation=generation).update(
        version=F("version") + 1, chunk_count=F("chunk_count") + added
    ):
        raise Switched
    if not generation.has_hnsw and index.chunk_count + added >= hnsw.WORTH_IT:
        transaction.on_commit(lambda: _ask_for_hnsw(generation.pk))


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


def _ask_for_hnsw(generation_id: int) -> None:
    from retrieval.tasks import ask_for_hnsw

    ask_for_hnsw(generation_id)


def _ask_to_follow(document_pk: int) -> None:
    from retrieval.tasks import ask_to_follow

    ask_to_follow(document_pk)
