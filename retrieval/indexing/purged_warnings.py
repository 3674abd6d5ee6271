"""What is stored of reading a purged document: warnings, which quote words of it, and digests of its ends."""

from collections.abc import Iterator, Sequence

from django.db.models import Q, QuerySet

from retrieval.models import Document, IngestionFile, SourcedObject, SourceDocument, SourceFile

Warned = QuerySet[SourceFile] | QuerySet[IngestionFile] | QuerySet[SourcedObject]


def erase_warnings(document: Document) -> None:
    """Erase what readers said until the document was purged; `document` may still have its file."""
    for rows in _warned(document):
        rows.update(warnings=[], **({"ends": {}} if rows.model is SourceFile else {}))


def count_warnings(document: Document) -> int:
    return sum(rows.count() for rows in _warned(document))


def _warned(document: Document) -> Iterator[Warned]:
    """Yield the rows with warnings or ends, of readings that began before the purge."""
    until = document.purged_at
    files = SourceFile.objects.filter(index=document.index_id, name__in=_names(document.entity_id)).values_list("pk")
    own = SourceDocument.objects.filter(document=document).values_list("file")
    found = list(SourceFile.objects.filter(pk__in=files.union(own)))
    is_before = Q(run=None) if until is None else Q(run=None) | Q(run__created_at__lte=until)
    yield SourceFile.objects.filter(is_before, pk__in=[file.pk for file in found]).exclude(warnings=[], ends={})
    for file in found:
        rows = IngestionFile.objects.filter(run__index=file.index_id, run__source=file.source, path=file.path)
        yield rows.filter(**({} if until is None else {"run__created_at__lte": until})).exclude(warnings=[])
    model, _, key = document.entity_id.partition(":")
    objects = SourcedObject.objects.filter(source__index=document.index.name, source__model=model, object_pk=key)
    yield objects.filter(**({} if until is None else {"updated_at__lte": until})).exclude(warnings=[])


def _names(entity_id: str) -> Sequence[str]:
    """Return the names that the document's file may have: its id, or for a row of a table its beginning."""
    parts = entity_id.split("/")
    return [entity_id, *("/".join(parts[:count]) for count in range(1, len(parts)))]
