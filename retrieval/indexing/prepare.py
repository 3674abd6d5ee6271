"""Prepare documents to be committed: split them, keep the vectors that are there, and embed what is new.

A single document, a batch, a retry and a generation that is built all go this way; `writer` commits what comes of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from retrieval.embedders import Embedder
from retrieval.indexing.chunking import Passage, split
from retrieval.indexing.document_input import DocumentContent, Origin
from retrieval.models import Chunk, Document, Generation


@dataclass(frozen=True, kw_only=True)
class PreparedDocument:
    """A document as it will be committed."""

    content: DocumentContent
    origin: Origin
    passages: Sequence[Passage]
    vectors: Mapping[str, np.ndarray]
    """By content hash; shared by the documents of a batch, and whole once the batch is embedded."""
    embedded_count: int
    """Passages whose text is new to the generation."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Documents that are embedded in one run of the model."""

    generation: Generation
    documents: list[PreparedDocument] = field(default_factory=list)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """DocumentContent hash and text of what must still be embedded."""

    def embed(self, embedder: Embedder) -> None:
        """Embed what is missing; raise EmbedderUnavailable."""
        if self.missing:
            self.vectors.update(zip(self.missing, embedder.embed(list(self.missing.values())), strict=True))
            self.missing.clear()


def prepare(
    generation: Generation,
    documents: Iterable[tuple[DocumentContent, Origin]],
    embedder: Embedder,
    *,
    known: Sequence[Document] = (),
) -> Batch:
    """Split the documents; vectors of passages that chunks of the `known` documents have are kept.

    What is left in the batch's `missing` is for its `embed`.
    """
    split_documents = [
        (content, origin, split(content.title, content.text, embedder, generation.max_tokens))
        for content, origin in documents
    ]
    texts = {each.content_hash: each.embedded_text for *_, passages in split_documents for each in passages}
    vectors: dict[str, np.ndarray] = {}
    if known:
        chunks = Chunk.objects.filter(generation=generation, document__in=known, content_hash__in=texts)
        vectors = dict(chunks.values_list("content_hash", "embedding"))
    missing = {digest: text for digest, text in texts.items() if digest not in vectors}
    prepared = [
        PreparedDocument(
            content=content,
            origin=origin,
            passages=passages,
            vectors=vectors,
            embedded_count=len({each.content_hash for each in passages} & missing.keys()),
        )
        for content, origin, passages in split_documents
    ]
    return Batch(generation=generation, documents=prepared, vectors=vectors, missing=missing)
