"""Prepare documents to be committed: split them, reuse the stored vectors, and embed the new passages.

Single documents, batches, retries and builds of a generation all use this; `writer` commits the result.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from retrieval.embedders import Embedder
from retrieval.errors import TextRefused
from retrieval.indexing.chunking import Passage, split
from retrieval.indexing.document_input import DocumentContent, DocumentOrigin
from retrieval.models import Chunk, Document, Generation

Until = Callable[[], bool]

_PART_CHARS = 150_000
"""About so much is embedded before a clock is looked at; the local model takes three seconds."""


@dataclass(frozen=True, kw_only=True)
class PreparedDocument:
    """A document as it will be committed."""

    content: DocumentContent
    origin: DocumentOrigin
    passages: Sequence[Passage]
    vectors: Mapping[str, np.ndarray]
    """By content hash; shared by the documents of a batch, and complete once the batch is embedded."""
    embedded_count: int
    """Passages whose text is new to the generation."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingBatch:
    """Documents that are embedded in one run of the model."""

    generation: Generation
    documents: list[PreparedDocument] = field(default_factory=list)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Passages to be embedded: content hash to text."""
    refused: dict[str, str] = field(default_factory=dict)
    """Passages that the embedder refuses: content hash to the reason."""

    def embed(self, embedder: Embedder, until: Until = lambda: False) -> None:
        """Embed the missing passages; those that are refused fail their documents only. Raise EmbedderUnavailable.

        They are embedded in parts of whole documents. Once `until()` is true, no other part is begun: the passages of
        the last documents then stay missing.
        """
        is_begun = False
        for digests in self._parts():
            if is_begun and until():
                return
            is_begun = True
            self._embed(embedder, digests)

    def _parts(self) -> Iterator[list[str]]:
        """Yield the digests of missing passages, those of several documents together."""
        part: dict[str, None] = {}
        chars = 0
        for document in self.documents:
            for passage in document.passages:
                if passage.content_hash in self.missing and passage.content_hash not in part:
                    part[passage.content_hash] = None
                    chars += len(passage.embedded_text)
            if chars >= _PART_CHARS:
                yield list(part)
                part, chars = {}, 0
        if part:
            yield list(part)

    def _embed(self, embedder: Embedder, digests: Sequence[str]) -> None:
        try:
            vectors = dict(enumerate(embedder.embed([self.missing[digest] for digest in digests])))
        except TextRefused as error:
            vectors = dict(error.vectors)
            self.refused.update((digests[index], reason) for index, reason in error.refused.items())
        self.vectors.update((digests[index], vector) for index, vector in vectors.items())
        for digest in digests:
            del self.missing[digest]

    def is_embedded(self, document: PreparedDocument) -> bool:
        """Return whether none of the document's passages is missing (any more)."""
        return not any(passage.content_hash in self.missing for passage in document.passages)

    def refusal_of(self, document: PreparedDocument) -> TextRefused | None:
        """Return why the document cannot be indexed, if the embedder refused one of its passages."""
        for passage in document.passages:
            if reason := self.refused.get(passage.content_hash):
                heading = f", under {passage.heading_path!r}" if passage.heading_path else ""
                number = f"{passage.position + 1} of {len(document.passages)}"
                return TextRefused(f"{reason} It is the passage {number}{heading}.")
        return None


def prepare(
    generation: Generation,
    documents: Iterable[tuple[DocumentContent, DocumentOrigin]],
    embedder: Embedder,
    *,
    known: Sequence[Document] = (),
) -> EmbeddingBatch:
    """Split the documents into a batch; reuse the vectors of passages that the chunks of `known` documents have.

    The other passages are in the batch's `missing`, until its `embed` is called.
    """
    split_documents = [
        (content, origin, split(content.title, content.text, embedder, generation.max_tokens))
        for content, origin in documents
    ]
    texts = {passage.content_hash: passage.embedded_text for *_, passages in split_documents for passage in passages}
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
            embedded_count=len({passage.content_hash for passage in passages} & missing.keys()),
        )
        for content, origin, passages in split_documents
    ]
    return EmbeddingBatch(generation=generation, documents=prepared, vectors=vectors, missing=missing)
