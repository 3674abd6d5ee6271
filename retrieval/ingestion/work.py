"""Work at a run: take files, read them, index their documents, and note what became of each.

Any number of workers may work at a run, on any machine that can read its source. What a worker took is its own for
as long as its connection lives, so that a killed one's files are free at once.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from common.errors import FabraError
from common.locks import living
from retrieval.errors import EmbedderUnavailable
from retrieval.indexing.bulk import Draft, Outcome, index_in_bulk
from retrieval.indexing.document_input import IndexResult, Origin
from retrieval.ingestion.runs import RunOptions, finish_if_done, list_files, options_of, source_of
from retrieval.models import Document, IngestionFile, IngestionRun, SourceDocument, SourceFile
from retrieval.models.ingestion import LOCK_CLASS
from retrieval.readers import SourceDocument as ReadDocument
from retrieval.readers import SourceFile as ReadFile
from retrieval.readers import Unreadable, read
from retrieval.readers.documents import VERSION, split_audience
from retrieval.sources import NotModified, Source

_FILES_AT_ONCE = 16
_BATCH_DOCUMENTS = 256

Progress = Callable[[IngestionFile], object]


@dataclass
class _Work:
    """A file being worked at."""

    row: IngestionFile
    known: SourceFile
    fingerprint: str = ""
    validators: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    said_at: datetime = field(default_factory=timezone.now)
    """When the source said what is read here; a later change of the document is left as it is."""
    is_superseded: bool = False
    waiting: int = 0
    """Documents that were read and are not indexed yet."""
    is_read: bool = False
    changed: int = 0
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Item:
    work: _Work
    draft: Draft


def work_at(run_id: int, *, on_file: Progress = lambda _: None, until: Callable[[], bool] = lambda: False) -> bool:
    """Work at a run until nothing is left for this worker or `until` says so; return whether the run is finished.

    `until` is asked before each file; what was read by then is indexed.
    Raise EmbedderUnavailable if the model is down; the run then waits for the next worker.
    """
    run = IngestionRun.objects.select_related("index").get(pk=run_id)
    if run.is_finished:
        return True
    source = source_of(run)
    list_files(run, source)
    if run.is_finished:
        return True
    with living(LOCK_CLASS) as holder:
        # An earlier worker may have had the same number.
        IngestionFile.objects.filter(state="taken", holder=holder).update(state="waiting", holder=None)
        try:
            _Worker(run, source, holder, on_file, until).work()
        finally:
            run.files.filter(state=IngestionFile.State.TAKEN, holder=holder).update(state="waiting", holder=None)
    return finish_if_done(run)


class _Worker:
    def __init__(
        self, run: IngestionRun, source: Source, holder: int, on_file: Progress, until: Callable[[], bool]
    ) -> None:
        self.run, self.source, self.holder = run, source, holder
        self.on_file, self.until = on_file, until
        self.options: RunOptions = options_of(run)
        self.how = hashlib.sha256(
            json.dumps([VERSION, asdict(self.options.reading), self.options.metadata, self.options.audience]).encode()
        ).digest()
        self.given: dict[str, str] = {}
        """Which file gave which document, of those this worker has read."""

    def work(self) -> None:
        batches: list[list[_Item]] = []

        def drafts() -> Iterator[list[Draft]]:
            for items in self._batches():
                batches.append(items)
                yield [item.draft for item in items]

        for outcomes in index_in_bulk(self.run.index.name, drafts()):
            self._note(batches.pop(0), outcomes)

    def _batches(self) -> Iterator[list[_Item]]:
        items: list[_Item] = []
        chars = 0
        for item in self._items():
            items.append(item)
            chars += len(item.draft.text)
            if chars >= settings.FABRA_INGESTION_BATCH_CHARS or len(items) >= _BATCH_DOCUMENTS:
                yield items
                items, chars = [], 0
        if items:
            yield items

    def _items(self) -> Iterator[_Item]:
        while not self.until():
            rows = IngestionFile.objects.all().take(self.run.pk, self.holder, _FILES_AT_ONCE)
            if not rows:
                return
            self._beat()
            works = self._known(rows)
            intact = _intact([work.known for work in works])
            for work in works:
                if self.until():
                    return
                yield from self._items_of(work, is_intact=work.known.pk in intact)

    def _known(self, rows: list[IngestionFile]) -> list[_Work]:
        """Return the files with what is known of each from an earlier run."""
        run = self.run
        SourceFile.objects.bulk_create(
            [SourceFile(index=run.index, source=run.source, path=row.path) for row in rows], ignore_conflicts=True
        )
        found = SourceFile.objects.filter(index=run.index, source=run.source, path__in=[row.path for row in rows])
        by_path = {each.path: each for each in found}
        return [_Work(row=row, known=by_path[row.path]) for row in rows]

    def _items_of(self, work: _Work, *, is_intact: bool) -> Iterator[_Item]:
        work.started = time.perf_counter()
        work.said_at = timezone.now() if self.run.location else self.run.created_at
        try:
            file = self.source.fetch(work.row.path, work.known.validators if is_intact else {})
            work.fingerprint = hashlib.sha256(self.how + file.content).hexdigest()
            work.validators = file.validators
            if is_intact and work.fingerprint == work.known.fingerprint:
                raise NotModified
            for document in self._read(work, file):
                work.waiting += 1
                yield _Item(work, self._draft(work, document))
        except NotModified:
            self._close(work, IngestionFile.State.UNCHANGED)
            self.on_file(work.row)
            return
        except Unreadable as error:
            work.errors.append(str(error))
        work.is_read = True
        if not work.waiting:
            self._finish(work)
            self.on_file(work.row)

    def _read(self, work: _Work, file: ReadFile) -> Iterator[ReadDocument]:
        for document in read(file, self.options.reading):
            first = self.given.setdefault(document.entity_id, work.row.path)
            if first != work.row.path:
                raise Unreadable(f"{first} is the document {document.entity_id!r} already")
            yield document

    def _draft(self, work: _Work, document: ReadDocument) -> Draft:
        metadata, audience = split_audience(document.metadata, self.options.audience)
        return Draft(
            entity_id=document.entity_id,
            text=document.text,
            title=document.title,
            metadata=metadata | self.options.metadata,
            audience=audience,
            origin=Origin(source=f"index_documents {work.row.path}", occurred_at=work.said_at),
        )

    def _note(self, items: Sequence[_Item], outcomes: Sequence[Outcome]) -> None:
        """Note what became of a batch's documents, and of the files that are done with it."""
        with transaction.atomic():
            self._note_all(items, outcomes)
        self._beat()
        for work in {id(item.work): item.work for item in items}.values():
            if work.row.finished_at:
                self.on_file(work.row)
        if items and all(isinstance(each, EmbedderUnavailable) for each in outcomes):
            raise EmbedderUnavailable

    def _beat(self) -> None:
        IngestionRun.objects.filter(pk=self.run.pk).update(heartbeat_at=timezone.now())

    def _note_all(self, items: Sequence[_Item], outcomes: Sequence[Outcome]) -> None:
        pairs = zip(items, outcomes, strict=True)
        self._note_origins([item for item, each in pairs if isinstance(each, IndexResult) and not each.is_superseded])
        for item, outcome in zip(items, outcomes, strict=True):
            row = item.work.row
            item.work.waiting -= 1
            if isinstance(outcome, FabraError):
                item.work.errors.append(str(outcome))
                continue
            row.documents += 1
            row.chunks += outcome.chunk_count
            row.embedded += outcome.embedded_count
            item.work.changed += outcome.is_changed
            item.work.is_superseded |= outcome.is_superseded
        for work in {id(item.work): item.work for item in items}.values():
            if work.is_read and not work.waiting:
                self._finish(work)

    def _note_origins(self, items: Sequence[_Item]) -> None:
        files = {item.draft.entity_id: item.work.known for item in items}
        served = Document.objects.live().filter(index=self.run.index, entity_id__in=files)
        rows = [
            SourceDocument(document_id=pk, file=files[entity_id], content_hash=digest, run=self.run)
            for pk, entity_id, digest in served.values_list("pk", "entity_id", "version__content_hash")
            if digest
        ]
        SourceDocument.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["document"], update_fields=["file", "content_hash", "run"]
        )

    def _finish(self, work: _Work) -> None:
        if work.errors:
            more = f" (and {len(work.errors) - 1:,} more)" if len(work.errors) > 1 else ""
            self._close(work, IngestionFile.State.FAILED, work.errors[0][:1000] + more)
            return
        if not work.is_superseded:  # else the next run reads the file again
            SourceFile.objects.filter(pk=work.known.pk).update(
                fingerprint=work.fingerprint, validators=work.validators, run=self.run
            )
        self._close(work, IngestionFile.State.INDEXED if work.changed else IngestionFile.State.UNCHANGED)

    def _close(self, work: _Work, state: IngestionFile.State, reason: str = "") -> None:
        row = work.row
        row.state, row.reason, row.holder = state, reason, None
        row.duration_ms = (time.perf_counter() - work.started) * 1000
        row.finished_at = timezone.now()
        row.save()


def _intact(files: list[SourceFile]) -> set[int]:
    """Return those whose documents all say what the file said, so that an unchanged file needs no reading."""
    touched = SourceDocument.objects.filter(file__in=files).exclude(
        pk__in=SourceDocument.objects.as_served().filter(file__in=files).values("pk")
    )
    return {file.pk for file in files if file.fingerprint} - set(touched.values_list("file", flat=True))
