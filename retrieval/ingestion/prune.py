"""Delete from an index the documents that their source no longer has, and no others."""

from collections.abc import Callable, Iterator

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet

from retrieval.errors import DocumentNotFound
from retrieval.indexing.documents import delete_document
from retrieval.models import IngestionFile, IngestionRun, SourceDocument, SourceFile
from retrieval.sources.entries import UNREAD_LIST

_SUSPICIOUS_SHARE, _SUSPICIOUS_COUNT = 0.5, 10


def prune(run: IngestionRun, *, is_forced: bool, on_prune: Callable[[str], object] = lambda _: None) -> str:
    """Delete the documents that the run's source no longer has; return the reason if pruning is refused, else "".

    A document that was changed by other means since is no longer the source's, and is kept. So are documents from a
    file or archive that could not be read.
    """
    gone = gone_documents(run)
    count = gone.count()
    unread = run.files.filter(state=IngestionFile.State.FAILED, reason__startswith=UNREAD_LIST).first()
    if not is_forced and count and unread:
        return f"Not pruned: {unread.path} was not read, so it is not known which of its pages are gone."
    total = SourceDocument.objects.filter(file__index=run.index_id, file__source=run.source).count()
    if not is_forced and count and (
        not run.total or (count >= _SUSPICIOUS_COUNT and count > _SUSPICIOUS_SHARE * total)
    ):  # fmt: skip
        return (
            f"Not pruned: {count:,} of the source's {total:,} documents would go. "
            "If they are gone on purpose, run it again with --force."
        )
    per_file: dict[str, int] = {}
    for pk, entity_id, path in list(gone.values_list("pk", "document__entity_id", "file__path")):
        with transaction.atomic():
            try:
                delete_document(run.index.name, entity_id)
            except DocumentNotFound:
                continue
            SourceDocument.objects.filter(pk=pk).delete()
            per_file[path] = per_file.get(path, 0) + 1
            IngestionFile.objects.bulk_create(
                [IngestionFile(run=run, path=f"{path} (gone)", state=IngestionFile.State.PRUNED,
                               documents=per_file[path])],
                update_conflicts=True, unique_fields=["run", "path"], update_fields=["documents"],
            )  # fmt: skip
            IngestionRun.objects.filter(pk=run.pk).update(pruned=F("pruned") + 1)
        on_prune(entity_id)
    gone_files(run).annotate(left=Count("documents")).filter(left=0).delete()
    return ""


def gone_documents(run: IngestionRun) -> QuerySet[SourceDocument]:
    """Return the documents that the source no longer has: their file is gone, or their row within the file.

    A row is gone if the last run that read the whole file is later than the last run that found the document in it.
    """
    own = SourceDocument.objects.as_served().filter(file__index=run.index_id, file__source=run.source)
    return own.filter(
        Q(file__in=gone_files(run).values("pk"))
        | (Q(file__run__isnull=False) & (Q(run__lt=F("file__run")) | Q(run=None)) & ~Q(file__fingerprint=""))
    ).order_by("file__path", "pk")


def gone_files(run: IngestionRun) -> QuerySet[SourceFile]:
    """Return the source's files that the run did not list, except those in an archive that it could not read."""
    files = SourceFile.objects.filter(index=run.index_id, source=run.source)
    files = files.exclude(path__in=run.files.exclude(state=IngestionFile.State.PRUNED).values("path"))
    for path in _unread_archives(run):
        files = files.exclude(path__startswith=f"{path}/")
    return files


def _unread_archives(run: IngestionRun) -> Iterator[str]:
    failed = run.files.filter(state=IngestionFile.State.FAILED, path__iendswith=".zip")
    yield from failed.values_list("path", flat=True)
