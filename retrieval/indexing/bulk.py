"""Index many documents: embedded in batches across documents, while the next are split and the last are written."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from django.db import DatabaseError, transaction

from common.errors import FabraError, InvalidInput
from retrieval.embedders import Embedder, embedder_of
from retrieval.errors import EmbedderUnavailable
from retrieval.indexing import documents, writer
from retrieval.indexing.chunking import Passage, split
from retrieval.indexing.document_input import Content, IndexResult, Origin, check_document
from retrieval.models import Chunk, Document, Generation, Index

logger = logging.getLogger(__name__)

Outcome = IndexResult | FabraError
"""What became of a document: indexed, or why not."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A document as it shall be; see `index_document`."""

    entity_id: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    audience: Sequence[str] = ()
    source: str = "code"
    occurred_at: datetime | None = None
    """When its source said so; None: now, as it is written."""


@dataclass(frozen=True, kw_only=True)
class _Split:
    """A document that changes, taken apart."""

    place: int
    draft: Draft
    content: Content
    passages: list[Passage]
    embedded_count: int


@dataclass(frozen=True, kw_only=True)
class _Batch:
    index: Index
    generation: Generation
    outcomes: list[Outcome | None]
    splits: list[_Split]
    known: dict[str, np.ndarray]
    missing: dict[str, str]
    """Content hash and text of what must be embedded."""


def index_in_bulk(index_name: str, batches: Iterable[Sequence[Draft]]) -> Iterator[list[Outcome]]:
    """Index batch after batch; yield for each its documents' outcomes, in order.

    A document that cannot be indexed fails alone. The batch after the one that is yielded is being embedded
    meanwhile, so that `batches` may take its time. Raise EmbedderUnavailable if no document can be embedded.
    """
    before: tuple[_Batch, Future[dict[str, np.ndarray]]] | None = None
    with ThreadPoolExecutor(max_workers=1) as pool:
        for drafts in batches:
            batch = _prepare(index_name, drafts)
            now = (batch, pool.submit(_embed, batch.missing, embedder_of(batch.generation)))
            if before is not None:
                yield _finish(*before)
            before = now
        if before is not None:
            yield _finish(*before)


def _prepare(index_name: str, drafts: Sequence[Draft]) -> _Batch:
    index, generation = documents.ensure_index(index_name)
    embedder = embedder_of(generation)
    outcomes: list[Outcome | None] = [None] * len(drafts)
    contents: dict[int, Content] = {}
    for place, draft in enumerate(drafts):
        try:
            contents[place] = check_document(
                index.name, draft.entity_id, draft.text, draft.metadata, draft.title, draft.audience
            )
        except InvalidInput as error:
            outcomes[place] = error
    rows = Document.objects.live().filter(index=index, entity_id__in=[each.entity_id for each in contents.values()])
    rows = rows.select_related("version").defer("text", "metadata", "version__text", "version__metadata")
    served = {document.entity_id: document for document in rows}
    parts: list[tuple[int, Content, list[Passage]]] = []
    for place, content in contents.items():
        document = served.get(content.entity_id)
        outcomes[place] = documents.unchanged(document, content, drafts[place].occurred_at) if document else None
        if outcomes[place] is None:
            parts.append((place, content, split(content.title, content.text, embedder, generation.max_tokens)))
    texts = {each.content_hash: each.embedded_text for *_, passages in parts for each in passages}
    known: dict[str, np.ndarray] = {}
    if served:
        chunks = Chunk.objects.filter(generation=generation, document__in=rows.values("pk"), content_hash__in=texts)
        known = dict(chunks.values_list("content_hash", "embedding"))
    missing = {digest: text for digest, text in texts.items() if digest not in known}
    splits = [
        _Split(
            place=place, draft=drafts[place], content=content, passages=passages,
            embedded_count=len({each.content_hash for each in passages} & missing.keys()),
        )
        for place, content, passages in parts
    ]  # fmt: skip
    return _Batch(index=index, generation=generation, outcomes=outcomes, splits=splits, known=known, missing=missing)


def _embed(texts: dict[str, str], embedder: Embedder) -> dict[str, np.ndarray]:
    return dict(zip(texts, embedder.embed(list(texts.values())), strict=True)) if texts else {}


def _finish(batch: _Batch, future: "Future[dict[str, np.ndarray]]") -> list[Outcome]:
    """Write a batch in one transaction; where that fails, its documents one by one."""
    try:
        _write(batch, batch.known | future.result())
    except (DatabaseError, FabraError, writer.GenerationSwitched) as error:
        logger.info("A batch of %d documents is indexed one by one: %r", len(batch.splits), error)
        _index_apart(batch)
    return [outcome or EmbedderUnavailable() for outcome in batch.outcomes]


def _write(batch: _Batch, vectors: dict[str, np.ndarray]) -> None:
    results: list[tuple[int, IndexResult]] = []
    added = 0
    with transaction.atomic():
        # Every writer takes the documents' locks in the same order.
        for each in sorted(batch.splits, key=lambda each: each.content.entity_id):
            result, grown = writer.replace_chunks(
                batch.index, batch.generation, each.content, each.passages, vectors, each.embedded_count,
                Origin(source=each.draft.source, occurred_at=each.draft.occurred_at),
            )  # fmt: skip
            results.append((each.place, result))
            added += grown
        if any(result.is_changed for _, result in results):
            writer.note_change(batch.index, batch.generation, added)
    for place, result in results:
        batch.outcomes[place] = result


def _index_apart(batch: _Batch) -> None:
    """Index each document by itself; raise EmbedderUnavailable if none of the first few can be embedded."""
    down = 0
    for each in batch.splits:
        draft = each.draft
        try:
            batch.outcomes[each.place] = documents.index_document(
                batch.index.name, draft.entity_id, draft.text, draft.metadata, title=draft.title,
                audience=draft.audience, source=draft.source, occurred_at=draft.occurred_at,
            )  # fmt: skip
            down = -len(batch.splits)
        except EmbedderUnavailable as error:
            batch.outcomes[each.place] = error
            down += 1
            if down >= min(len(batch.splits), _FAILURES):
                raise
        except FabraError as error:
            batch.outcomes[each.place] = error
        except DatabaseError as error:
            batch.outcomes[each.place] = InvalidInput(f"The database refused it ({type(error).__name__}).")


_FAILURES = 3
"""After so many documents that cannot be embedded the model is taken to be down."""
