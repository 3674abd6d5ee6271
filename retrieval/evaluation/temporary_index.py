"""Create an index for one evaluation, fill it in batches, and remove it at the end, also after an error.

Its owner holds an advisory lock for as long as the process lives. An index whose lock is free was left by a process
that was killed; the next evaluation removes it.
"""

import uuid
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.db import connection, transaction

from common.errors import FabraError, InvalidInput
from common.locks import held
from retrieval.evaluation.beir import CorpusDocument
from retrieval.generations import hnsw
from retrieval.indexing.bulk import Draft, index_in_bulk
from retrieval.indexing.document_input import DocumentOrigin
from retrieval.indexing.documents import ensure_index
from retrieval.models import Chunk, Document, DocumentVersion, Generation, Index

PREFIX = "evaluate_retrieval-"
_ORIGIN = DocumentOrigin(source="evaluate_retrieval")
_BATCH = 64


@contextmanager
def own_index(language: str = "english") -> Iterator[str]:
    """Yield the name of a new index, and remove the index at the end."""
    remove_abandoned()
    name = f"{PREFIX}{uuid.uuid4().hex[:12]}"
    with held(name):
        try:
            Index.objects.create(name=name, language=language)
            _, generation = ensure_index(name)
            # Until it is filled no worker may build its HNSW, which would slow each batch and outlive the index.
            Generation.objects.filter(pk=generation.pk).update(has_hnsw=True)
            yield name
        finally:
            remove(name)


@contextmanager
def kept_index(name: str, document_ids: Container[str], language: str = "english") -> Iterator[str]:
    """Yield the name of an index that is kept; raise InvalidInput if it contains documents outside the corpus.

    `language` applies only if the index is created.
    """
    ids = Document.objects.live().filter(index__name=name).values_list("entity_id", flat=True)
    foreign = next((document_id for document_id in ids.iterator() if document_id not in document_ids), None)
    if foreign is not None:
        raise InvalidInput(f"The index {name!r} holds {foreign!r}, which is not in the corpus; name another.")
    Index.objects.get_or_create(name=name, defaults={"language": language})
    yield name


def remove_abandoned() -> list[str]:
    """Remove the indexes whose process has ended; return their names."""
    names = []
    for name in Index.objects.filter(name__startswith=PREFIX).values_list("name", flat=True):
        with held(name) as is_abandoned:
            if is_abandoned:
                remove(name)
                names.append(name)
    return names


def remove(name: str) -> None:
    """Remove an index with its content, table by table, so that no cascade has all rows of it at once."""
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
            rows.delete()
        index.delete()
        with connection.cursor() as cursor:
            for pk in generations:
                cursor.execute(f"DROP INDEX IF EXISTS {', '.join(hnsw.all_names(pk))}")


def fill(
    name: str, documents: Sequence[CorpusDocument], on_done: Callable[[int], object] = lambda count: None
) -> list[tuple[str, str]]:
    """Index the documents in batches; return (id, reason) of the refused. Unchanged documents are skipped.

    Afterwards the index has fresh statistics and, if large enough, the HNSW, as in production. `on_done` is called with
    the number of documents after each batch.
    """
    refused: list[tuple[str, str]] = []
    for batch, outcomes in zip(_batches(documents), index_in_bulk(name, _drafts(documents)), strict=True):
        failed = [(document.id, outcome) for document, outcome in zip(batch, outcomes, strict=True)]
        refused += [(document_id, str(error)) for document_id, error in failed if isinstance(error, FabraError)]
        on_done(len(batch))
    if name.startswith(PREFIX):
        Generation.objects.filter(index__name=name).update(has_hnsw=False)
    index, generation = ensure_index(name)
    if index.chunk_count >= settings.FABRA_HNSW_WORTH_IT:
        hnsw.build_hnsw(generation.pk)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {Chunk._meta.db_table}")
    return refused


def _batches(documents: Sequence[CorpusDocument]) -> Iterator[Sequence[CorpusDocument]]:
    return (documents[start : start + _BATCH] for start in range(0, len(documents), _BATCH))


def _drafts(documents: Sequence[CorpusDocument]) -> Iterator[list[Draft]]:
    for batch in _batches(documents):
        yield [
            Draft(entity_id=document.id, text=document.text, title=document.title, origin=_ORIGIN) for document in batch
        ]
