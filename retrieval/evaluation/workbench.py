"""An index for one evaluation: filled in batches, and removed whatever happens.

Its owner holds an advisory lock for as long as it lives. One whose lock is free was left by a process that was
killed; the next evaluation removes it.
"""

import uuid
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager

from django.db import connection, transaction

from features.errors import InvalidInput
from features.locks import held
from retrieval import hnsw
from retrieval.chunking import split
from retrieval.embedders import embedder_of
from retrieval.evaluation.beir import CorpusDocument
from retrieval.indexing import Content, Origin, _swap, check_document, ensure_index
from retrieval.models import Chunk, Document, DocumentVersion, Index

PREFIX = "evaluate_retrieval-"
_BATCH = 256


@contextmanager
def own_index() -> Iterator[str]:
    """Yield the name of an index that nobody else uses, and remove it at the end."""
    remove_abandoned()
    name = f"{PREFIX}{uuid.uuid4().hex[:12]}"
    with held(name):
        try:
            Index.objects.create(name=name)
            yield name
        finally:
            remove(name)


@contextmanager
def kept_index(name: str, document_ids: Container[str]) -> Iterator[str]:
    """Yield the name of an index that stays; raise InvalidInput if it holds documents of something else."""
    ids = Document.objects.live().filter(index__name=name).values_list("entity_id", flat=True)
    foreign = next((each for each in ids.iterator() if each not in document_ids), None)
    if foreign is not None:
        raise InvalidInput(f"The index {name!r} holds {foreign!r}, which is not in the corpus; name another.")
    yield name


def remove_abandoned() -> list[str]:
    """Remove the indexes whose process is gone; return their names."""
    names = []
    for name in Index.objects.filter(name__startswith=PREFIX).values_list("name", flat=True):
        with held(name) as is_abandoned:
            if is_abandoned:
                remove(name)
                names.append(name)
    return names


def remove(name: str) -> None:
    """Remove an index with all that it holds, table by table: Django would read each row first."""
    index = Index.objects.filter(name=name).first()
    if index is None:
        return
    generations = list(index.generations.values_list("pk", flat=True))
    with transaction.atomic():
        Index.objects.filter(pk=index.pk).update(generation=None)
        Document.objects.filter(index=index).update(version=None)
        for rows in (
            Chunk.objects.filter(generation__in=generations),
            DocumentVersion.objects.filter(document__index=index),
            Document.objects.filter(index=index),
        ):
            rows._raw_delete(rows.db)
        index.delete()
        with connection.cursor() as cursor:
            for pk in generations:
                cursor.execute(f"DROP INDEX IF EXISTS {hnsw.hnsw_name(pk)}, {hnsw.gin_name(pk)}")


def fill(
    name: str, documents: Sequence[CorpusDocument], on_done: Callable[[int], object] = lambda count: None
) -> list[tuple[str, str]]:
    """Index the documents in batches; return (id, reason) of the refused. One that is served as it is stays.

    The index then has what one of its size has in service: fresh statistics, and the HNSW. `on_done` is called with
    the number of documents after each batch.
    """
    refused: list[tuple[str, str]] = []
    for start in range(0, len(documents), _BATCH):
        batch = documents[start : start + _BATCH]
        refused += _fill_batch(name, batch)
        on_done(len(batch))
    index = Index.objects.select_related("generation").get(name=name)
    if index.generation is not None and index.chunk_count >= hnsw.WORTH_IT:
        hnsw.build_hnsw(index.generation.pk)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {Chunk._meta.db_table}")
    return refused


def _fill_batch(name: str, documents: Sequence[CorpusDocument]) -> list[tuple[str, str]]:
    """Index a batch: one run of the embedder, one transaction."""
    index, generation = ensure_index(name)
    embedder = embedder_of(generation)
    contents: list[Content] = []
    refused: list[tuple[str, str]] = []
    for each in documents:
        try:
            contents.append(check_document(name, each.id, each.text, None, each.title))
        except InvalidInput as error:
            refused.append((each.id, str(error)))
    served = dict(
        Document.objects.live()
        .filter(index=index, entity_id__in=[content.entity_id for content in contents])
        .values_list("entity_id", "version__content_hash")
    )
    contents = [content for content in contents if served.get(content.entity_id) != content.digest]
    passages = {content.entity_id: split(content.title, content.text, embedder) for content in contents}
    texts = {passage.content_hash: passage.embedded_text for each in passages.values() for passage in each}
    vectors = dict(zip(texts, embedder.embed(list(texts.values())), strict=True))
    with transaction.atomic():
        for content in contents:
            mine = passages[content.entity_id]
            _swap(index, generation, content, mine, vectors, len(mine), Origin(source="evaluate_retrieval"))
    return refused
