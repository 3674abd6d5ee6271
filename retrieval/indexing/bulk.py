"""Index many documents in batches: one batch is embedded while the next is split and the last is written."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from common.errors import FabraError, InvalidInput
from retrieval.embedders import embedder_of
from retrieval.errors import EmbedderUnavailable, NotReached
from retrieval.indexing.document_input import DocumentContent, DocumentOrigin, IndexResult, check_document
from retrieval.indexing.documents import ensure_index, index_content, unchanged
from retrieval.indexing.ownership import refusals
from retrieval.indexing.prepare import EmbeddingBatch, Until, prepare
from retrieval.indexing.writer import GenerationSwitched, change_documents
from retrieval.models import Document, Index

logger = logging.getLogger(__name__)

_MAX_FAILURES = 3
"""After this many documents that cannot be embedded the model is considered down."""

_BATCH_DOCUMENTS = 256

Outcome = IndexResult | FabraError
"""The result for a document: how it was indexed, or the error."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A document to be indexed; its fields are the arguments of `index_document`."""

    entity_id: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    audience: Sequence[str] = ()
    origin: DocumentOrigin = field(default_factory=DocumentOrigin)

    def check(self, index_name: str) -> DocumentContent:
        """Return the checked document; raise InvalidInput or DocumentTooLarge."""
        return check_document(index_name, self.entity_id, self.text, self.metadata, self.title, self.audience)


@dataclass(frozen=True, kw_only=True)
class _BatchInProgress:
    """A batch of drafts between preparation and commit."""

    index: Index
    drafts: Sequence[Draft]
    outcomes: dict[int, Outcome]
    """By index in `drafts`; a document that is prepared and not yet written has none."""
    batch: EmbeddingBatch
    positions: list[int]
    """The index in `drafts` of each of the batch's documents."""


def is_batch(documents: int, chars: int) -> bool:
    """Return whether so many documents, with so many characters in all, are enough for a batch."""
    return chars >= settings.FABRA_INGESTION_BATCH_CHARS or documents >= _BATCH_DOCUMENTS


def index_in_bulk(
    index_name: str, batches: Iterable[Sequence[Draft]], until: Until = lambda: False
) -> Iterator[list[Outcome]]:
    """Index the batches one after another; yield for each batch its documents' outcomes, in order.

    A document that cannot be indexed fails alone. While a batch's outcomes are yielded the next batch is being
    embedded, so that a slow iterator `batches` costs no model time. Once `until()` is true, which a thread asks within
    a batch, its other documents are NotReached, but for those that need no embedding. Raise EmbedderUnavailable if no
    document can be embedded.
    """
    before: tuple[_BatchInProgress, Future[None]] | None = None
    with ThreadPoolExecutor(max_workers=1) as pool:
        for drafts in batches:
            work = _prepare(index_name, drafts)
            now = (work, pool.submit(work.batch.embed, embedder_of(work.batch.generation), until))
            if before is not None:
                yield _finish(*before)
            before = now
        if before is not None:
            yield _finish(*before)


def _prepare(index_name: str, drafts: Sequence[Draft]) -> _BatchInProgress:
    index, generation = ensure_index(index_name)
    outcomes: dict[int, Outcome] = {}
    contents: dict[int, DocumentContent] = {}
    for position, draft in enumerate(drafts):
        try:
            contents[position] = draft.check(index.name)
        except InvalidInput as error:
            outcomes[position] = error
    claims = [
        (i, content.entity_id, claim.file) for i, content in contents.items() if (claim := drafts[i].origin.claim)
    ]
    for number, reason in refusals(index, [claim[1:] for claim in claims]).items() if claims else ():
        position = claims[number][0]
        outcomes[position] = reason
        del contents[position]
    rows = Document.objects.live().filter(
        index=index, entity_id__in=[content.entity_id for content in contents.values()]
    )
    rows = rows.select_related("index", "version").defer("text", "metadata", "version__text", "version__metadata")
    served = {document.entity_id: document for document in rows}
    for position, content in contents.items():
        document = served.get(content.entity_id)
        if document and (result := unchanged(document, content, drafts[position].origin)):
            outcomes[position] = result
    positions = [position for position in contents if position not in outcomes]
    batch = prepare(
        generation,
        [(contents[position], drafts[position].origin) for position in positions],
        embedder_of(generation),
        known=list(served.values()),
    )
    return _BatchInProgress(index=index, drafts=drafts, outcomes=outcomes, batch=batch, positions=positions)


def _finish(work: _BatchInProgress, embedded: "Future[None]") -> list[Outcome]:
    """Write a batch in one transaction; if that fails, index its documents one by one."""
    try:
        embedded.result()
        for position, document in zip(work.positions, work.batch.documents, strict=True):
            if not work.batch.is_embedded(document):
                work.outcomes[position] = NotReached()
        work.outcomes.update(_write(work))
    except (DatabaseError, FabraError, GenerationSwitched) as error:
        logger.info("A batch of %d documents is indexed one by one: %r", len(work.positions), error)
        _index_one_by_one(work)
    return [work.outcomes.get(position) or EmbedderUnavailable() for position in range(len(work.drafts))]


def _write(work: _BatchInProgress) -> dict[int, Outcome]:
    reached = [
        (position, document)
        for position, document in zip(work.positions, work.batch.documents, strict=True)
        if position not in work.outcomes
    ]
    refused = {position: refusal for position, document in reached if (refusal := work.batch.refusal_of(document))}
    pairs = sorted(reached, key=lambda pair: pair[1].content.entity_id)
    accepted = [(position, document) for position, document in pairs if position not in refused]
    with change_documents(work.index, work.batch.generation) as change:
        written = change.write([document for _, document in accepted])
    return {**refused, **dict(zip([position for position, _ in accepted], written, strict=True))}


def _index_one_by_one(work: _BatchInProgress) -> None:
    """Index each document by itself; raise EmbedderUnavailable if none of the first _MAX_FAILURES can be embedded."""
    failures, is_up = 0, False
    for position in [position for position in work.positions if position not in work.outcomes]:
        try:
            work.outcomes[position] = _index_one(work.index, work.drafts[position])
            is_up = True
        except EmbedderUnavailable as error:
            work.outcomes[position] = error
            failures += 1
            if not is_up and failures >= min(len(work.positions), _MAX_FAILURES):
                raise
        except FabraError as error:
            work.outcomes[position] = error
        except DatabaseError as error:
            work.outcomes[position] = InvalidInput(f"The database refused it ({type(error).__name__}).")


def _index_one(index: Index, draft: Draft) -> IndexResult:
    return index_content(index.name, draft.check(index.name), draft.origin)
