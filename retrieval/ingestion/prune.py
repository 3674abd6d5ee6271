"""Delete from an index the documents that their source no longer has, and no others."""

from collections.abc import Callable, Iterator
from contextlib import suppress

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from retrieval.errors import DocumentNotFound
from retrieval.indexing.documents import delete_document
from retrieval.models import Document, IngestionFile, IngestionRun, SourceDocument, SourceFile
from retrieval.sources.entries import UNREAD_FOLDER, UNREAD_LIST

_SUSPICIOUS_SHARE, _SUSPICIOUS_COUNT = 0.5, 10
_SHOWN = 3
_AT_ONCE = 500
_GONE = " (gone)"
"""What follows the path of a file that is no longer there, in the row of a run."""


def prune(run: IngestionRun, *, is_forced: bool, until: Callable[[], bool] = lambda: False) -> str | None:
    """Delete the documents that the run's source no longer has; return the reason if pruning is refused, else "".

    Once `until()` is true it returns None, and another call prunes the rest.

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
    rows = gone.select_related("file", "document").defer("document__text", "document__metadata")
    for row in _in_parts(rows):
        if until():
            return None
        with transaction.atomic():
            # Whoever writes the document now waits, or was faster: then it is no longer the source's, and stays.
            Document.objects.select_for_update().get(pk=row.document_id)
            if not gone.filter(pk=row.pk).exists():
                continue
            with suppress(DocumentNotFound):
                delete_document(run.index.name, row.document.entity_id)
            row.delete()
            _count_pruned(run, row.file)
            IngestionRun.objects.filter(pk=run.pk).update(pruned=F("pruned") + 1, heartbeat_at=timezone.now())
    files = gone_files(run)
    # What was changed by other means since belongs to nobody's file, so that another source may not write it either.
    SourceDocument.objects.filter(file__in=files.values("pk")).delete()
    files.delete()
    return ""


def _in_parts(rows: QuerySet[SourceDocument]) -> Iterator[SourceDocument]:
    """Yield rows each of which is deleted, or no longer found, before the next one is asked for."""
    while part := list(rows[:_AT_ONCE]):
        yield from part


def withdrawal(file: SourceFile, *, will_prune: bool) -> str:
    """Return what a run says about a file that has no text (any more), before it prunes."""
    served = SourceDocument.objects.as_served().filter(file=file).order_by("pk")
    ids = list(served.values_list("document__entity_id", flat=True)[: _SHOWN + 1])
    if not ids:
        return "empty"
    shown = ", ".join(map(repr, ids[:_SHOWN])) + (" and others" if len(ids) > _SHOWN else "")
    end = "" if will_prune else "; run it with --prune to remove it"
    return f"empty, and the text that it had is still found as {shown}{end}"


def _count_pruned(run: IngestionRun, file: SourceFile) -> None:
    """Count a document of a file that was pruned: in the file's row, or for one that is gone, in a row of its own."""
    is_there = file.is_empty and run.files.filter(path=file.path).exists()
    reason = "withdrawn: the file has no text now, and what it said was removed" if is_there else ""
    path = file.path if is_there else f"{file.path}{_GONE}"
    if run.files.filter(path=path, state=IngestionFile.State.PRUNED).update(documents=F("documents") + 1):
        return
    IngestionFile.objects.bulk_create(
        [IngestionFile(run=run, path=path, reason=reason, documents=1,
                       state=IngestionFile.State.PRUNED, finished_at=timezone.now())],
        update_conflicts=True, unique_fields=["run", "path"],
        update_fields=["documents", "state", "reason", "finished_at"],
    )  # fmt: skip


def gone_documents(run: IngestionRun) -> QuerySet[SourceDocument]:
    """Return the documents that the source no longer has: their file is gone, or their row within the file.

    A row is gone if the last run that read the whole file is later than the last run that found the document in it.
    """
    own = SourceDocument.objects.as_served().filter(file__index=run.index_id, file__source=run.source)
    was_read = Q(file__run__isnull=False) & (~Q(file__fingerprint="") | Q(file__is_empty=True))
    return own.filter(
        Q(file__in=gone_files(run).values("pk")) | (was_read & (Q(run__lt=F("file__run")) | Q(run=None)))
    ).order_by("file__path", "pk")


def gone_files(run: IngestionRun) -> QuerySet[SourceFile]:
    """Return the source's files that the run did not list, but not those in a folder or archive that it cannot read."""
    files = SourceFile.objects.filter(index=run.index_id, source=run.source)
    listed = run.files.exclude(state=IngestionFile.State.PRUNED, path__endswith=_GONE)
    files = files.exclude(path__in=listed.values("path"))
    for path in _unread(run):
        files = files.exclude(path__startswith=f"{path}/")
    return files


def _unread(run: IngestionRun) -> Iterator[str]:
    """Yield the folders and archives whose files are not known."""
    failed = run.files.filter(state=IngestionFile.State.FAILED)
    unread = failed.filter(Q(path__iendswith=".zip") | Q(reason__startswith=UNREAD_FOLDER))
    yield from unread.values_list("path", flat=True)
