"""The life cycle of an index's generations: build another one next to the one that serves, switch, go back, drop.

The state of a build is computed from the rows, so that a crash cannot lose it: a document lags in a generation that
has no chunks of the document's current version. A switch finishes when no document lags, while changes of documents
wait; a change that was prepared for the former generation fails at its commit and is prepared again.
"""

import logging
import time
from collections.abc import Callable, Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from common.locks import held, held_alone
from retrieval.embedders import embedder_of, get_embedder
from retrieval.errors import EmbedderUnavailable, GenerationConflict, IndexNotFound, TextRefused
from retrieval.generations import hnsw
from retrieval.indexing.document_input import DocumentContent, DocumentOrigin
from retrieval.indexing.prepare import PreparedDocument, prepare
from retrieval.indexing.writer import Change, replace_chunks, switch_lock
from retrieval.models import Chunk, Document, Generation, Index, LexemeCount

logger = logging.getLogger(__name__)

MAX_DIMENSION = 4000
"""The most dimensions that pgvector's HNSW supports in half precision."""
_MIN_TOKENS = 80
_WINDOW = 32
"""Documents that a worker claims at a time."""
_POLL_S = 0.5
_DROP_BATCH = 5000


def find_index(name: str) -> Index:
    """Return an index with its serving generation; raise IndexNotFound if there is none."""
    index = Index.objects.named(name)
    if index is None or index.generation is None:
        raise IndexNotFound(f"There is no index {name!r} with documents.")
    return index


def open_generation(index: Index, *, model: str = "", backend: str = "", max_tokens: int | None = None) -> Generation:
    """Create a generation to be built; raise GenerationConflict if its options are invalid or such a one exists."""
    backend, model = backend or settings.FABRA_EMBEDDER, model or settings.FABRA_EMBEDDING_MODEL
    embedder = get_embedder(model, backend)
    if embedder.dimension > MAX_DIMENSION:
        raise GenerationConflict(f"{model} has {embedder.dimension} dimensions; {MAX_DIMENSION} is the most.")
    if max_tokens is not None and not _MIN_TOKENS <= max_tokens <= embedder.max_tokens:
        raise GenerationConflict(f"max_tokens must be from {_MIN_TOKENS} to {embedder.max_tokens} for {model}.")
    with transaction.atomic():
        Index.objects.select_for_update(no_key=True).get(pk=index.pk)
        known = index.generations.filter(embedder=backend, embedding_model=model, max_tokens=max_tokens).first()
        if known is not None:
            raise GenerationConflict(f"The generation #{known.pk} is made just so.")
        return Generation.objects.create(
            index=index,
            embedder=backend,
            embedding_model=model,
            dimension=embedder.dimension,
            max_tokens=max_tokens,
            state=Generation.State.BUILDING,
            total=Document.objects.live().filter(index=index).exclude(version=None).count(),
            worked_at=timezone.now(),
        )


def outdated_documents(generation: Generation) -> QuerySet[Document]:
    """Return the documents of whose current version the generation has no chunks."""
    chunks = Chunk.objects.filter(generation=generation, document=OuterRef("pk"), version=OuterRef("version"))
    documents = Document.objects.live().filter(index=generation.index_id).exclude(version=None)
    return documents.filter(~Exists(chunks))


def execute_build(generation_pk: int, on_done: Callable[[int], object] = lambda count: None) -> None:
    """Build the outdated documents, together with other workers, until none is left; then its indexes.

    Raise EmbedderUnavailable.
    """
    while not execute_slice(generation_pk, on_done):
        time.sleep(_POLL_S)
    make_ready(generation_pk)


def execute_slice(
    generation_pk: int,
    on_done: Callable[[int], object] = lambda count: None,
    until: Callable[[], bool] = lambda: False,
) -> bool:
    """Build outdated documents until `until()` is true; take over a dead worker's part. Return whether all are built.

    Documents that change during the build are updated by `update_documents`. Raise EmbedderUnavailable; the sweep then
    starts the build again.
    """
    generation = (
        Generation.objects.select_related("index").exclude(state=Generation.State.DROPPING).get(pk=generation_pk)
    )
    try:
        return _build_outdated(generation, on_done, until)
    except (EmbedderUnavailable, TextRefused) as error:
        Generation.objects.filter(pk=generation_pk).update(error=str(error), worked_at=timezone.now())
        raise


def _build_outdated(
    generation: Generation, on_done: Callable[[int], object], until: Callable[[], bool] = lambda: False
) -> bool:
    """Build the outdated documents in windows of ids; return False if some are left, or other workers have them."""
    behind, last, is_all_mine = outdated_documents(generation).order_by("pk"), -1, True
    while (first := behind.filter(pk__gt=last).values_list("pk", flat=True).first()) is not None:
        if until():
            return False
        window = first // _WINDOW
        last = (window + 1) * _WINDOW - 1
        with held(f"generation {generation.pk} {window}") as is_mine:
            if not is_mine:
                is_all_mine = False
                continue
            built = build_documents(
                generation, list(behind.filter(pk__range=(first, last)).values_list("pk", flat=True))
            )
        Generation.objects.filter(pk=generation.pk).update(done=F("done") + built, worked_at=timezone.now(), error="")
        on_done(built)
    return is_all_mine


def make_ready(generation_pk: int) -> None:
    """Build the indexes of a generation whose documents are built, if it is large enough, and mark it ready."""
    generation = Generation.objects.filter(pk=generation_pk, state=Generation.State.BUILDING).first()
    if generation is None:
        return
    is_large = Chunk.objects.filter(generation=generation)[settings.FABRA_HNSW_WORTH_IT :].exists()
    if is_large and not hnsw.build_hnsw(generation.pk):
        return  # another worker is building it; then the sweep marks the generation ready
    Generation.objects.filter(pk=generation.pk, state=Generation.State.BUILDING).update(
        state=Generation.State.READY, ready_at=timezone.now(), done=F("total"), error=""
    )


def build_documents(generation: Generation, document_pks: Sequence[int], *, force: bool = False) -> int:
    """Write the chunks of the documents' current versions; return how many documents were written.

    All are embedded in one run of the model; `force` embeds also passages that have a vector. A document that
    changed meanwhile is skipped, since its change writes its chunks. Raise EmbedderUnavailable; or TextRefused, when
    the others are written, for a document that the model refuses.
    """
    embedder = embedder_of(generation)
    documents = list(
        Document.objects.live().filter(pk__in=document_pks).exclude(version=None).select_related("version", "index")
    )
    versions = {document.pk: document.version for document in documents if document.version}
    batch = prepare(
        generation,
        [(DocumentContent.of_version(document, versions[document.pk]), DocumentOrigin()) for document in documents],
        embedder,
        known=[] if force else documents,
    )
    batch.embed(embedder)
    refusals = {prepared.content.entity_id: batch.refusal_of(prepared) for prepared in batch.documents}
    pairs = zip(documents, batch.documents, strict=True)
    built = sum(_write(generation, *pair) for pair in pairs if not refusals[pair[1].content.entity_id])
    for entity_id, refusal in refusals.items():
        if refusal:
            raise TextRefused(f"The document {entity_id!r} cannot be built: {refusal}")
    return built


def _write(generation: Generation, document: Document, prepared: PreparedDocument) -> bool:
    with transaction.atomic():
        is_current = Document.objects.select_for_update().filter(pk=document.pk, version=document.version)
        if document.version is None or is_current.first() is None:
            return False
        change = Change(row=document, version=document.version, document=prepared)
        added = replace_chunks(document.index, generation, [change])
        # Only the serving generation's chunks are counted; this matches no row for another one.
        Index.objects.filter(pk=document.index_id, generation=generation).update(
            version=F("version") + 1, chunk_count=F("chunk_count") + added
        )
    return True


def update_documents(document_pks: Sequence[int], until: Callable[[], bool] = lambda: False) -> list[int]:
    """Update the generations that do not serve to the documents' current versions; return those left at `until`.

    A generation whose model is down, or refuses a text, lags behind; the others do not wait for it.
    """
    left = list(document_pks)
    while left and not until():
        window, left = left[:_WINDOW], left[_WINDOW:]
        others = Generation.objects.filter(index__documents__in=window).exclude(pk=F("index__generation"))
        for generation in others.exclude(state=Generation.State.DROPPING).distinct():
            behind = list(outdated_documents(generation).filter(pk__in=window).values_list("pk", flat=True))
            try:
                if behind:
                    build_documents(generation, behind)
            except (EmbedderUnavailable, TextRefused) as error:
                logger.warning("%s The generation %d lags behind.", error, generation.pk)
    return left


def switch(generation: Generation) -> None:
    """Make the generation serve the searches of its index, without losing an update.

    Changes of documents wait only during the last step. Raise GenerationConflict if the generation is not ready.
    """
    if generation.state != Generation.State.READY:
        raise GenerationConflict(f"The generation #{generation.pk} is not ready: {generation.get_state_display()}.")
    _build_outdated(generation, lambda count: None)
    with held_alone(switch_lock(generation.index_id)):  # granted when the current changes are committed
        while behind := list(outdated_documents(generation).values_list("pk", flat=True)[:_WINDOW]):
            build_documents(generation, behind)
        with transaction.atomic():
            index = Index.objects.select_for_update(no_key=True).get(pk=generation.index_id)
            index.generation, index.version = generation, index.version + 1
            index.chunk_count = Chunk.objects.filter(generation=generation).count()
            index.save(update_fields=["generation", "version", "chunk_count"])


def mark_dropped(generation: Generation) -> None:
    """Mark a generation to be dropped; raise GenerationConflict if it serves searches."""
    with transaction.atomic():
        index = Index.objects.select_for_update(no_key=True).get(pk=generation.index_id)
        if index.generation_id == generation.pk:
            raise GenerationConflict(f"The generation #{generation.pk} serves searches; switch to another one first.")
        Generation.objects.filter(pk=generation.pk).update(state=Generation.State.DROPPING, worked_at=timezone.now())


def execute_drop(
    generation_pk: int,
    on_done: Callable[[int], object] = lambda count: None,
    until: Callable[[], bool] = lambda: False,
    wait_s: float = hnsw.DROP_WAIT_S,
) -> bool:
    """Delete a generation that is marked to be dropped: its indexes, its chunks in batches, then its row.

    Indexes that a backup holds for longer than `wait_s` are left to the upkeep. Return False if chunks are left
    when `until()` is true.
    """
    if not Generation.objects.filter(pk=generation_pk, state=Generation.State.DROPPING).exists():
        return True
    hnsw.drop_indexes(generation_pk, wait_s)
    chunks = Chunk.objects.filter(generation=generation_pk)
    while pks := list(chunks.values_list("pk", flat=True)[:_DROP_BATCH]):
        if until():
            return False
        Chunk.objects.filter(pk__in=pks).delete()
        Generation.objects.filter(pk=generation_pk).update(worked_at=timezone.now())
        on_done(len(pks))
    with transaction.atomic():
        # The lock stops a worker that has not seen the mark from adding chunks.
        Generation.objects.select_for_update().filter(pk=generation_pk).first()
        chunks.delete()
        LexemeCount.objects.filter(generation=generation_pk).delete()
        Generation.objects.filter(pk=generation_pk).delete()
    return True
