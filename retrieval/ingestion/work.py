"""Process an ingestion run: claim files, read them, index their documents, and store the outcome of each file.

Any number of workers may process a run, on any machine that can read its source. A worker holds its claimed files for
as long as its database connection lives, so that the files of a killed worker are free at once.
"""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice

from django.db import transaction
from django.utils import timezone

from common.errors import FabraError
from common.locks import living
from common.text import storable
from retrieval.errors import EmbedderUnavailable
from retrieval.indexing.bulk import Draft, Outcome, index_in_bulk, is_batch
from retrieval.indexing.document_input import DocumentOrigin, IndexResult
from retrieval.indexing.ownership import FileClaim
from retrieval.ingestion.closed import Refused, left_as_they_were, readers_of, told, unread, withdraw_open
from retrieval.ingestion.file_in_progress import FileInProgress
from retrieval.ingestion.naming import name_files
from retrieval.ingestion.page_ends import files_of, repeated_elsewhere, repeated_ends, staying_files
from retrieval.ingestion.prune import withdrawal
from retrieval.ingestion.runs import RunOptions, finish_if_done, list_files, options_of, source_of
from retrieval.models import Document, IngestionFile, IngestionRun, SourceDocument, SourceFile
from retrieval.models.ingestion import LOCK_CLASS
from retrieval.readers import AudienceUnknown, Empty, FetchedFile, ReadDocument, ReadWarning, Unreadable, read
from retrieval.readers.audience import split_audience
from retrieval.readers.documents import VERSION
from retrieval.sources import NotModified, Source

_FILES_AT_ONCE = 16
_LISTING_WAIT_S = 3600.0
_PAGES_COMPARED = 1000
"""So many pages of a source tell a worker what is repeated; the end of the run compares all."""

OnFile = Callable[[IngestionFile], object]


@dataclass(frozen=True)
class _Item:
    file: FileInProgress
    draft: Draft


def execute_run(
    run_id: int,
    *,
    on_file: OnFile = lambda _: None,
    until: Callable[[], bool] = lambda: False,
    wait_s: float = _LISTING_WAIT_S,
) -> bool:
    """Process a run until no file is left for this worker or `until` returns true; return whether it is finished.

    `until` is called before each file, and before each of its documents but the first that is new; what was read by
    then is indexed. For `wait_s` it waits for another worker that lists the source or finishes the run.
    Raise EmbedderUnavailable if the model is down; another worker can then continue the run.
    """
    run = IngestionRun.objects.select_related("index").get(pk=run_id)
    if run.is_finished:
        return True
    source = source_of(run)
    if not list_files(run, source, wait_s=wait_s):
        return False
    if run.is_finished:
        return True
    while True:
        with living(LOCK_CLASS) as holder:
            # PostgreSQL may have given the same backend id to an earlier worker.
            IngestionFile.objects.filter(state="taken", holder=holder).update(state="waiting", holder=None)
            try:
                _Worker(run, source, holder, on_file, until).process()
            finally:
                run.files.filter(state=IngestionFile.State.TAKEN, holder=holder).update(state="waiting", holder=None)
        if finish_if_done(run, until=until, wait_s=wait_s):
            return True
        if until() or not run.files.filter(state=IngestionFile.State.WAITING).exists():
            return False


class _Worker:
    def __init__(
        self, run: IngestionRun, source: Source, holder: int, on_file: OnFile, until: Callable[[], bool]
    ) -> None:
        self.run, self.source, self.holder = run, source, holder
        self.on_file, self.until = on_file, until
        self.options: RunOptions = options_of(run)
        self.reading_hash = hashlib.sha256(
            json.dumps([VERSION, asdict(self.options.reading), self.options.metadata, self.options.audience]).encode()
        ).digest()
        self.taken, self.next_look = 0, 0
        self.repeated: dict[str, int] = {}

    def process(self) -> None:
        batches: list[list[_Item]] = []

        def drafts() -> Iterator[list[Draft]]:
            for items in self._batches():
                batches.append(items)
                yield [item.draft for item in items]

        for outcomes in index_in_bulk(self.run.index.name, drafts()):
            self._store_outcomes(batches.pop(0), outcomes)

    def _batches(self) -> Iterator[list[_Item]]:
        items: list[_Item] = []
        chars = 0
        for item in self._items():
            items.append(item)
            chars += len(item.draft.text)
            if is_batch(len(items), chars):
                yield items
                items, chars = [], 0
        if items:
            yield items

    def _items(self) -> Iterator[_Item]:
        while not self.until():
            rows = IngestionFile.objects.all().take(self.run.pk, self.holder, _FILES_AT_ONCE)
            if not rows:
                return
            self._heartbeat()
            self._look_for_repeated(len(rows))
            files = self._known(rows)
            intact = _intact([file.known for file in files])
            for file in files:
                if self.until():
                    return
                yield from self._items_of(file, is_intact=file.known.pk in intact)

    def _look_for_repeated(self, count: int) -> None:
        """Find out what most pages begin and end with: at first, and each time that twice as many files were read."""
        if self.taken >= self.next_look:
            self.repeated = repeated_ends(staying_files(self.run), pages=_PAGES_COMPARED)
            self.next_look = 2 * self.taken
        self.taken += count

    def _known(self, rows: list[IngestionFile]) -> list[FileInProgress]:
        """Return the files, each with its row from earlier runs."""
        run, paths = self.run, [row.path for row in rows]
        files = files_of(run).filter(path__in=paths)
        if files.exclude(name="").count() < len(rows):  # a run that was listed by an earlier release
            name_files(run)
        by_path = {file.path: file for file in files.all()}
        return [FileInProgress(row=row, known=by_path[row.path]) for row in rows]

    def _items_of(self, file: FileInProgress, *, is_intact: bool) -> Iterator[_Item]:
        file.started = time.perf_counter()
        file.read_at = timezone.now() if self.run.location else self.run.created_at
        try:
            fetched = self.source.fetch(file.row.path, file.known.validators if is_intact else {})
            fingerprint = hashlib.sha256(self.reading_hash + fetched.content).hexdigest()
            file.validators = fetched.validators
            if is_intact and fingerprint == file.known.fingerprint:
                raise NotModified
            file.begin(fingerprint, self.run)
            done, is_first = file.progress.done, True
            # Reading a table again takes a hundredth of the time that its embedding takes.
            for document in islice(self._read(file, replace(fetched, name=file.known.name)), done, None):
                if not is_first and self.until():
                    return
                is_first = False
                file.waiting += 1
                yield _Item(file, self._draft(file, document))
        except NotModified:
            file.warnings = file.known.warnings
            self._close(file, IngestionFile.State.UNCHANGED)
            self.on_file(file.row)
            return
        except Empty:
            pass  # as a table without rows
        except Unreadable as error:
            file.unreadable = str(error)
            if isinstance(error, AudienceUnknown):
                left = unread(file.known.documents.as_served(), file.ids)
                file.progress.withdrawn += withdraw_open(file.known, left, file.read_at)
        file.is_read, file.is_empty = True, not file.ids and not file.unreadable
        if not file.waiting:
            self._finish(file)
            self.on_file(file.row)

    def _read(self, file: FileInProgress, fetched: FetchedFile) -> Iterator[ReadDocument]:
        again: list[str] = []
        repeated = repeated_elsewhere(self.repeated, file.known.pk)
        for document in read(fetched, replace(self.options.reading, repeated=repeated)):
            if isinstance(document, ReadWarning):
                file.warn(document)
                continue
            if document.entity_id in file.ids:
                again.append(document.entity_id)
                continue
            file.ids.add(document.entity_id)
            file.ends = document.ends
            yield document
        if again:
            message = f"{len(again):,} documents have the id of an earlier one, as {again[0]!r}, and are left out."
            file.warn(ReadWarning(code="id_again", message=message))

    def _draft(self, file: FileInProgress, document: ReadDocument) -> Draft:
        metadata, audience = split_audience(document.metadata, self.options.audience)
        return Draft(
            entity_id=document.entity_id,
            text=document.text,
            title=document.title,
            metadata=metadata | self.options.metadata,
            audience=audience,
            origin=DocumentOrigin(
                source=f"index_documents {file.row.path}",
                occurred_at=file.read_at,
                claim=FileClaim(file=file.known, run=self.run),
            ),
        )

    def _store_outcomes(self, items: Sequence[_Item], outcomes: Sequence[Outcome]) -> None:
        """Store the outcomes of a batch's documents, and of the files that are complete with it."""
        if items and all(isinstance(outcome, EmbedderUnavailable) for outcome in outcomes):
            raise EmbedderUnavailable
        self._withdraw_refused(items, outcomes)
        with transaction.atomic():
            self._store_all(items, outcomes)
        self._heartbeat()
        for file in {id(item.file): item.file for item in items}.values():
            if file.row.finished_at:
                self.on_file(file.row)

    def _withdraw_refused(self, items: Sequence[_Item], outcomes: Sequence[Outcome]) -> None:
        """Withdraw what could not be indexed and is open to others than may read it, before the failures are stored."""
        refused: dict[int, Refused] = defaultdict(dict)
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, FabraError):
                refused[id(item.file)][item.draft.entity_id] = readers_of(item.draft.audience)
        for file in {id(item.file): item.file for item in items if id(item.file) in refused}.values():
            file.progress.withdrawn += withdraw_open(file.known, refused[id(file)], file.read_at)

    def _heartbeat(self) -> None:
        IngestionRun.objects.filter(pk=self.run.pk).update(heartbeat_at=timezone.now())

    def _store_all(self, items: Sequence[_Item], outcomes: Sequence[Outcome]) -> None:
        pairs = zip(items, outcomes, strict=True)
        self._store_origins(
            [item for item, outcome in pairs if isinstance(outcome, IndexResult) and not outcome.is_superseded]
        )
        for item, outcome in zip(items, outcomes, strict=True):
            row, progress = item.file.row, item.file.progress
            item.file.waiting -= 1
            progress.done += 1
            if isinstance(outcome, FabraError):
                progress.fail(str(outcome))
                continue
            row.documents += 1
            row.chunks += outcome.chunk_count
            row.embedded += outcome.embedded_count
            progress.changed += outcome.is_changed
            progress.is_superseded |= outcome.is_superseded
        for file in {id(item.file): item.file for item in items}.values():
            if file.is_read and not file.waiting:
                self._finish(file)
            else:
                file.keep()

    def _store_origins(self, items: Sequence[_Item]) -> None:
        files = {item.draft.entity_id: item.file.known for item in items}
        served = Document.objects.live().filter(index=self.run.index, entity_id__in=files)
        rows = [
            SourceDocument(document_id=pk, file=files[entity_id], content_hash=digest, run=self.run)
            for pk, entity_id, digest in served.values_list("pk", "entity_id", "version__content_hash")
            if digest
        ]
        SourceDocument.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["document"], update_fields=["content_hash", "run"]
        )

    def _finish(self, file: FileInProgress) -> None:
        progress = file.progress
        if progress.errors or file.unreadable:
            self._close(file, IngestionFile.State.FAILED, self._failure(file))
            return
        if not progress.is_superseded:  # otherwise the next run must read the file again
            SourceFile.objects.filter(pk=file.known.pk).update(
                fingerprint="" if file.hides_rows else progress.fingerprint,
                validators=file.validators, warnings=file.warnings, run=self.run,
                is_empty=file.is_empty, ends=file.ends,
            )  # fmt: skip
        if file.is_empty:
            self._close(file, IngestionFile.State.FAILED, withdrawal(file.known, will_prune=self.options.prune))
            return
        self._close(file, IngestionFile.State.INDEXED if progress.changed else IngestionFile.State.UNCHANGED)

    def _failure(self, file: FileInProgress) -> str:
        """Return why a file, or some documents of it, were not indexed, and what became of those that it had."""
        progress = file.progress
        more = f" (and {progress.errors - 1:,} more)" if progress.errors > 1 else ""
        reason = "; ".join(filter(None, [file.unreadable, progress.first_error + more])) + told(progress.withdrawn)
        if file.unreadable and file.ids:
            reason += left_as_they_were(len(unread(file.known.documents.as_served(), file.ids)))
        return reason

    def _close(self, file: FileInProgress, state: IngestionFile.State, reason: str = "") -> None:
        row = file.row
        row.state, row.reason, row.warnings, row.holder = state, storable(reason), file.warnings, None
        row.duration_ms, row.progress = file.duration_ms, {}
        row.finished_at = timezone.now()
        row.save()


def _intact(files: list[SourceFile]) -> set[int]:
    """Return the ids of files whose documents were not changed by other means, so an unchanged file can be skipped."""
    touched = SourceDocument.objects.filter(file__in=files).exclude(
        pk__in=SourceDocument.objects.as_served().filter(file__in=files).values("pk")
    )
    return {file.pk for file in files if file.fingerprint and not file.is_empty} - set(
        touched.values_list("file", flat=True)
    )
