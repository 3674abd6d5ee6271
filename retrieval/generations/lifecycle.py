"""Generations of an index: build another one beside the one that serves, switch, go back, drop.

What a generation lacks is asked of the rows, so that a build has no state that a crash could lose: a document
lags where the generation has no chunks of its current version. A switch ends with none lagging, while changes of
documents wait; a change that was made for the former generation finds that out at its commit and is made again.
"""

import logging
import time
from collections.abc import Callable, Sequence

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from common.locks import held, held_alone
from retrieval.embedders import embedder_of, get_embedder
from retrieval.errors import EmbedderUnavailable, GenerationConflict, IndexNotFound
from retrieval.generations import hnsw
from retrieval.indexing.document_input import DocumentContent, Origin
from retrieval.indexing.prepare import PreparedDocument, prepare
from retrieval.indexing.writer import replace_chunks, switch_lock
from retrieval.models import Chunk, Document, Generation, Index, LexemeCount

logger = logging.getLogger(__name__)

MAX_DIMENSION = 4000
"""pgvector's HNSW takes half-precision vectors up to this."""
_MIN_TOKENS = 80
_WINDOW = 32
"""Documents that a worker takes at a time."""
_POLL_S = 0.5
_DROP_BATCH = 5000


def find_index(name: str) -> Index:
    index = Index.objects.named(name)
    if index is None or index.generation is None:
        raise IndexNotFound(f"There is no index {name!r} with documents.")
    return index


def open_generation(index: Index, *, model: str = "", backend: str = "", max_tokens: int | None = None) -> Generation:
    """Return a new generation, to be built; raise GenerationConflict for what cannot be, or is there already."""
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


def lagging(generation: Generation) -> QuerySet[Document]:
    """Return the documents of whose current version the generation has no chunks."""
    chunks = Chunk.objects.filter(generation=generation, document=OuterRef("pk"), version=OuterRef("version"))
    documents = Document.objects.live().filter(index=generation.index_id).exclude(version=None)
    return documents.filter(~Exists(chunks))


def execute_build(generation_pk: int, on_done: Callable[[int], object] = lambda count: None) -> None:
    """Share in building what the generation lacks, until nothing of it is left; a dead worker's part is taken over.

    Documents that change after a worker has passed them are followed, see `follow`. Raise EmbedderUnavailable;
    the sweep then has it tried again.
    """
    generation = (
        Generation.objects.select_related("index").exclude(state=Generation.State.DROPPING).get(pk=generation_pk)
    )
    try:
        while not _pass_through(generation, on_done):
            time.sleep(_POLL_S)
    except EmbedderUnavailable as error:
        Generation.objects.filter(pk=generation_pk).update(error=str(error), worked_at=timezone.now())
        raise
    if generation.state == Generation.State.BUILDING:
        _make_ready(generation)


def _pass_through(generation: Generation, on_done: Callable[[int], object]) -> bool:
    """Build the lagging documents in small parts; return False if other workers are at some of them."""
    behind, last, is_all_mine = lagging(generation).order_by("pk"), -1, True
    while (first := behind.filter(pk__gt=last).values_list("pk", flat=True).first()) is not None:
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


def _make_ready(generation: Generation) -> None:
    if Chunk.objects.filter(generation=generation)[settings.FABRA_HNSW_WORTH_IT :].exists():
        hnsw.build_hnsw(generation.pk)
        if not Generation.objects.filter(pk=generation.pk, has_hnsw=True).exists():
            return  # another worker builds it, and comes here after
    Generation.objects.filter(pk=generation.pk, state=Generation.State.BUILDING).update(
        state=Generation.State.READY, ready_at=timezone.now(), done=F("total"), error=""
    )


def build_documents(generation: Generation, document_pks: Sequence[int], *, force: bool = False) -> int:
    """Write the chunks of the documents' current versions; return how many documents were done.

    Embedding is one run of the model for all of them; `force` embeds also what has a vector. A document that
    changed meanwhile is left to its change.
    """
    embedder = embedder_of(generation)
    documents = list(
        Document.objects.live().filter(pk__in=document_pks).exclude(version=None).select_related("version", "index")
    )
    versions = {each.pk: each.version for each in documents if each.version}
    batch = prepare(
        generation,
        [(DocumentContent.of_version(each, versions[each.pk]), Origin()) for each in documents],
        embedder,
        known=[] if force else documents,
    )
    batch.embed(embedder)
    return sum(_write(generation, *pair) for pair in zip(documents, batch.documents, strict=True))


def _write(generation: Generation, document: Document, prepared: PreparedDocument) -> bool:
    with transaction.atomic():
        is_current = Document.objects.select_for_update().filter(pk=document.pk, version=document.version)
        if document.version is None or is_current.first() is None:
            return False
        added = replace_chunks(document.index, generation, document, document.version, prepared)
        # Nothing to count for a generation that does not serve; for the serving one this mends it.
        Index.objects.filter(pk=document.index_id, generation=generation).update(
            version=F("version") + 1, chunk_count=F("chunk_count") + added
        )
    return True


def follow(document_pk: int) -> None:
    """Bring the generations that do not serve up to a document's current version."""
    document = Document.objects.select_related("index").filter(pk=document_pk).first()
    if document is None:
        return
    others = Generation.objects.filter(index=document.index).exclude(pk=document.index.generation_id or 0)
    for generation in others.exclude(state=Generation.State.DROPPING):
        if lagging(generation).filter(pk=document_pk).exists():
            build_documents(generation, [document_pk])


def switch(generation: Generation) -> None:
    """Have the generation serve the searches of its index; no update is lost on the way.

    Changes of documents wait for the last moment of it. Raise GenerationConflict if it is not ready.
    """
    if generation.state != Generation.State.READY:
        raise GenerationConflict(f"The generation #{generation.pk} is not ready: {generation.get_state_display()}.")
    _pass_through(generation, lambda count: None)
    with held_alone(switch_lock(generation.index_id)):  # begins when the changes under way are committed
        while behind := list(lagging(generation).values_list("pk", flat=True)[:_WINDOW]):
            build_documents(generation, behind)
        with transaction.atomic():
            index = Index.objects.select_for_update(no_key=True).get(pk=generation.index_id)
            index.generation, index.version = generation, index.version + 1
            index.chunk_count = Chunk.objects.filter(generation=generation).count()
            index.save(update_fields=["generation", "version", "chunk_count"])


def mark_dropped(generation: Generation) -> None:
    """Have a generation dropped; raise GenerationConflict if it serves searches."""
    with transaction.atomic():
        index = Index.objects.select_for_update(no_key=True).get(pk=generation.index_id)
        if index.generation_id == generation.pk:
            raise GenerationConflict(f"The generation #{generation.pk} serves searches; switch to another one first.")
        Generation.objects.filter(pk=generation.pk).update(state=Generation.State.DROPPING, worked_at=timezone.now())


def execute_drop(generation_pk: int, on_done: Callable[[int], object] = lambda count: None) -> None:
    """Remove a generation marked for it: its indexes, its chunks in small parts, then its row."""
    if not Generation.objects.filter(pk=generation_pk, state=Generation.State.DROPPING).exists():
        return
    with connection.cursor() as cursor:
        for name in (hnsw.hnsw_name(generation_pk), hnsw.gin_name(generation_pk)):
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    chunks = Chunk.objects.filter(generation=generation_pk)
    while pks := list(chunks.values_list("pk", flat=True)[:_DROP_BATCH]):
        Chunk.objects.filter(pk__in=pks).delete()
        on_done(len(pks))
    with transaction.atomic():
        # The lock keeps a worker that had not seen the mark from adding chunks.
        Generation.objects.select_for_update().filter(pk=generation_pk).first()
        chunks.delete()
        LexemeCount.objects.filter(generation=generation_pk).delete()
        Generation.objects.filter(pk=generation_pk).delete()
